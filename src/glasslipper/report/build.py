"""Runs every section over a study and keeps what they found. Draws nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from glasslipper.report.section import Missing, Part, Result, Section
from glasslipper.report.sections import PARTS
from glasslipper.report.study import Options, Study, Untallied


class Answered(Struct, frozen=True, kw_only=True):
    """A section and what it found."""

    section: Section
    result: Result | Missing


class Report(Struct, frozen=True, kw_only=True):
    """All sections of a study, in the order of the parts, with its span and sums."""

    first: str
    last: str
    options: Options
    requests: int
    tokens: int
    cost_nanousd: int
    models: int
    parts: tuple[tuple[Part, tuple[Answered, ...]], ...]
    cited: str = ""
    generated: bool = False

    @property
    def sections(self) -> list[Answered]:
        """All sections, by their number."""
        flat = [one for _, answered in self.parts for one in answered]
        return sorted(flat, key=lambda one: one.section.number)


def build(study: Study, *, tick: Callable[[Answered], None] | None = None) -> Report:
    """Answer every section; `tick` is called after each.

    Those that need no tallies come first: their charts can be drawn while tallies are made.
    """
    answers: dict[str, Answered] = {}
    later = [
        section
        for part in PARTS
        for section in part.sections
        if not _answer(section, study, answers, tick)
    ]
    study.tally()
    for section in later:
        _answer(section, study, answers, tick)
    parts = tuple((part, tuple(answers[section.id] for section in part.sections)) for part in PARTS)
    sums = study.rows("SELECT sum(requests) AS n, sum(tokens) AS t, sum(cost) AS c FROM usage")[0]
    return Report(
        first=study.first.isoformat(),
        last=study.last.isoformat(),
        options=study.options,
        requests=int(sums["n"] or 0),
        tokens=int(sums["t"] or 0),
        cost_nanousd=int(sums["c"] or 0),
        models=len(study.models),
        parts=parts,
        cited=study.market.cited if study.market else "",
    )


def _answer(
    section: Section,
    study: Study,
    answers: dict[str, Answered],
    tick: Callable[[Answered], None] | None,
) -> bool:
    """Answer a section, and return whether that could be done already."""
    try:
        result = section.study(study)
    except Untallied:
        return False
    answers[section.id] = Answered(section=section, result=result)
    if tick is not None:
        tick(answers[section.id])
    return True
