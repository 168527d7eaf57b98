"""What a model is told: a pattern's words, filled with the task and the work so far."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from glasslipper.kernel.messages import Message, Role, TextPart
from glasslipper.puppeteer.patterns.document import Pattern

MOST_CHARACTERS = 12_000
"""As much of the work so far as anybody is shown; its end is kept (arXiv 2505.19591)."""

_MARK = re.compile(r"\{(task|leading|history|files|tools)\}")


class Seen(Struct, frozen=True, kw_only=True):
    """What there is to see: the task, the leading answer, what was said so far, and by whom.

    `rules` are what the client told its models beforehand: they come first, whatever the pattern.
    """

    task: str
    rules: str = ""
    leading: str = ""
    history: Sequence[tuple[str, str]] = ()
    files: Sequence[str] = ()
    tools: Sequence[str] = ()


def messages(pattern: Pattern, seen: Seen) -> tuple[Message, ...]:
    """Return the conversation that asks a model to think in this way about what is seen."""
    turns = [_message("system", f"{seen.rules}\n\n{pattern.system.strip()}".strip())]
    for example in pattern.examples:
        turns.append(_message("user", example.task))
        turns.append(_message("assistant", example.answer))
    turns.append(_message("user", _filled(pattern.prompt, seen).strip()))
    return tuple(turns)


def _filled(prompt: str, seen: Seen) -> str:
    history = "\n\n".join(f"[{who}]\n{said.strip()}" for who, said in seen.history)
    words = {
        "task": seen.task,
        "leading": seen.leading or "(none yet)",
        "history": history[-MOST_CHARACTERS:] or "(nothing yet)",
        "files": "\n".join(seen.files),
        "tools": "\n".join(seen.tools),
    }
    return _MARK.sub(lambda mark: words[mark[1]], prompt)


def _message(role: Role, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text=text),))
