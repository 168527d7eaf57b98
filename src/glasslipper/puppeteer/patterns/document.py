"""A pattern as a document: found by name, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

import msgspec
from msgspec import Struct

from glasslipper.kernel.errors import NotFound

Reads = Literal["task", "leading", "history"]
Returns = Literal["answer", "program", "steps", "exchange", "verdict", "note", "file", "call"]
Needs = Literal["python", "file", "mcp"]


class Example(Struct, frozen=True, kw_only=True):
    """A task and the reply that is wanted, shown to the model before the real one."""

    task: str
    answer: str


class Pattern(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way of thinking.

    `reads` is what it needs to see: the task alone, the leading answer, or all turns so far.
    `output` is what its reply is read as; `tool` what has to be at hand. `version` grows with
    every change of words, so that what was learned about one is not taken for another.
    """

    name: str
    version: int
    purpose: str
    reads: Reads
    output: Returns
    max_tokens: int
    system: str
    prompt: str
    tool: Needs | None = None
    stop: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def id(self) -> str:
        """Name and version, such as `reason.1`."""
        return f"{self.name}.{self.version}"

    @property
    def answers(self) -> bool:
        """Whether its output may be the answer to the task."""
        return self.output in ("answer", "program")


@cache
def book() -> Mapping[str, Pattern]:
    """Return every pattern by its name."""
    import yaml  # costs a start more than it need

    found: dict[str, Pattern] = {}
    for entry in resources.files("glasslipper.puppeteer.patterns").joinpath("book").iterdir():
        if entry.name.endswith(".yaml"):
            one = msgspec.convert(yaml.safe_load(entry.read_text("utf-8")), Pattern)
            found[one.name] = one
    return dict(sorted(found.items()))


def pattern(name: str) -> Pattern:
    """Return the pattern of that name.

    Raises:
        NotFound: There is none.
    """
    found = book().get(name)
    if found is None:
        raise NotFound(f"There is no pattern {name!r}.", hint=f"There are {', '.join(book())}.")
    return found
