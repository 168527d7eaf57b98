"""What a fake upstream is told to do: the knobs, and how a model name turns them.

A model name such as `fake?tokens=64&gap_ms=20&fault=cut&after=5` scripts one call; flags of the
server script all calls that say nothing else. Knows no wire format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

Fault = Literal[
    "cut",
    "end",
    "error_event",
    "huge_frame",
    "malformed_http",
    "malformed_json",
    "no_done",
    "refuse",
    "reset",
    "stall",
    "wrong_length",
]


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call's script. Faults come `after` that many frames of text.

    tokens: How many pieces of text the answer has, `t0 t1 t2 …`, if there is no `text`.
    text: The answer itself; each word is a piece.
    tool: Answer with a call of this tool, with `arguments`, instead of text.
    delay_ms: Wait before the header section; `first_ms`: between it and the first piece;
        `gap_ms`: between pieces.
    prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost: What the usage
        says. Without `completion_tokens` it counts the pieces; any other number is a lie.
    usage: Streams tell it when `asked` to, `always`, or never (`missing`, unstreamed too).
    status: Refuse with this HTTP status, and with Retry-After if there is a `retry_after`.
    fault: `refuse` closes without an answer; `reset` breaks the connection with RST; `cut`
        closes it within the body; `end` ends the body properly but without finish reason and
        [DONE]; `stall` says nothing more; `malformed_json` and `malformed_http` send rubbish;
        `error_event` reports an error inside the 200 answer; `wrong_length` announces a longer
        body than it sends; `no_done` leaves out [DONE] only; `huge_frame` sends `huge_bytes`
        of text as one piece.
    dimensions: How long the vectors of embeddings are.
    """

    tokens: int = 16
    text: str | None = None
    tool: str | None = None
    arguments: str = '{"city": "Paris"}'
    delay_ms: float = 0
    first_ms: float = 0
    gap_ms: float = 0
    prompt_tokens: int = 10
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: float | None = None
    usage: Literal["asked", "always", "missing"] = "asked"
    status: int | None = None
    retry_after: int | None = None
    fault: Fault | None = None
    after: int = 0
    huge_bytes: int = 2 * 1024 * 1024
    dimensions: int = 8

    def pieces(self) -> list[str]:
        """Return the text of the answer, piece by piece."""
        if self.text is not None:
            return re.findall(r"\S+\s*|\s+", self.text)
        return [f"t{index} " for index in range(self.tokens)]


def script_of(model: str, defaults: Mapping[str, object]) -> Script:
    """Return the script that a model name asks for, on top of `defaults`.

    Raises:
        ValueError: There is no such knob, or not with such a value.
    """
    knobs = dict(parse_qsl(model.partition("?")[2], keep_blank_values=True))
    return msgspec.convert({**defaults, **knobs}, Script, strict=False)
