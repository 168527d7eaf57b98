"""Ways of thinking: prompt documents with a version, and what is read out of the replies.

A pattern says what a model is told, what of the work so far it sees, and what kind of thing it
returns. The documents lie in `book/`, one YAML file each; `pattern` finds one by its name.
Knows nothing of models, of money and of who decides.
"""

from __future__ import annotations

from glasslipper.puppeteer.patterns.document import Pattern, book, pattern
from glasslipper.puppeteer.patterns.output import (
    Conclusion,
    Exchange,
    FileWanted,
    Note,
    Output,
    Program,
    Steps,
    ToolWanted,
    Verdict,
    read,
)
from glasslipper.puppeteer.patterns.prompt import Seen, messages

__all__ = [
    "Conclusion",
    "Exchange",
    "FileWanted",
    "Note",
    "Output",
    "Pattern",
    "Program",
    "Seen",
    "Steps",
    "ToolWanted",
    "Verdict",
    "book",
    "messages",
    "pattern",
    "read",
]
