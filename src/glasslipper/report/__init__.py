"""The study of the ledger's own traffic: sections, their claims, and the page.

with Lake(home) as lake:
    study = Study(lake, Options(), Catalogue())
    html = page(build(study))
"""

from glasslipper.report.build import Answered, Report, build
from glasslipper.report.charts.studio import Studio
from glasslipper.report.export import as_json, write_tables
from glasslipper.report.facts import Catalogue, ModelFacts
from glasslipper.report.page.html import order_of, page
from glasslipper.report.study import Options, Study

__all__ = [
    "Answered",
    "Catalogue",
    "ModelFacts",
    "Options",
    "Report",
    "Studio",
    "Study",
    "as_json",
    "build",
    "order_of",
    "page",
    "write_tables",
]
