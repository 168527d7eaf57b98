"""Who stays with a model, who leaves for which, who comes back. Figures 30 to 32, 37, 38."""

from __future__ import annotations

from glasslipper.report.section import Part
from glasslipper.report.sections import boomerangs, homes, retention, slippers, switches

PART = Part(
    name="Who stays",
    about="Cohorts that begin with a model, stay, leave for another, come back.",
    sections=(
        retention.SECTION,
        slippers.SECTION,
        boomerangs.SECTION,
        switches.SECTION,
        homes.SECTION,
    ),
)
