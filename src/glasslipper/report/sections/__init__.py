"""The sections of the report, in the order in which they are read."""

from glasslipper.report.section import Part
from glasslipper.report.sections import (
    agents,
    costs,
    fit,
    loyalty,
    money,
    places,
    running,
    sources,
    tasks,
)

PARTS: tuple[Part, ...] = (
    sources.PART,
    tasks.PART,
    agents.PART,
    places.PART,
    loyalty.PART,
    costs.PART,
    money.PART,
    fit.PART,
    running.PART,
)
