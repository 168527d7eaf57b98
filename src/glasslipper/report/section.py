"""What a section of the report is made of. Knows no section.

A section asks one SQL file, estimates, and answers with a claim computed from the data, a chart,
a table and named findings; or it says what is missing and how to get it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field

from glasslipper.report.charts.frame import Spec
from glasslipper.report.estimates import Estimate

if TYPE_CHECKING:
    from glasslipper.report.study import Study

Cell = str | float | int | None

Finding = Estimate | float | str | None
"""An estimate with its interval, a plain number, or a word such as `not identified`."""


class Table(Struct, frozen=True, kw_only=True):
    """A section's data.

    A heading that ends with `#` is of numbers, with `%` of shares, with `$` of nano-dollars.
    """

    headings: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


class Result(Struct, frozen=True, kw_only=True):
    """What a section found."""

    claim: str
    table: Table
    chart: Spec | None = None
    findings: dict[str, Finding] = field(default_factory=dict[str, Finding])
    notes: tuple[str, ...] = ()
    command: str = ""
    """A command that acts on what was found."""


class Missing(Struct, frozen=True, kw_only=True):
    """Why a section has nothing to show, and how that changes."""

    what: str
    how: str


class Section(Struct, frozen=True, kw_only=True):
    """One analysis. `number` is its figure; 1 to 36 are those of the study that the report follows.

    `sql` names its file in `sql/sections`; `method` says in a line how its numbers are made.
    """

    number: int
    id: str
    name: str
    method: str
    sql: str
    study: Callable[[Study], Result | Missing]


class Part(Struct, frozen=True, kw_only=True):
    """Sections that belong together."""

    name: str
    about: str
    sections: tuple[Section, ...]
