"""Money that need not be spent, and money to come. Figures 41 to 45, and 47."""

from __future__ import annotations

from glasslipper.report.section import Part
from glasslipper.report.sections import bills, overpaying, savings

PART = Part(
    name="Money",
    about="What could be saved, what is wasted, what is to come, and whether the bill is right.",
    sections=(*savings.SECTIONS, overpaying.SECTION, *bills.SECTIONS),
)
