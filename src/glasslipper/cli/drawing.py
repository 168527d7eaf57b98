"""Opens the studio in which a report is drawn. Loads little, so that it can come first."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from glasslipper.report.charts.kept import Kept
from glasslipper.report.charts.studio import Studio
from glasslipper.store import places

CHARTS = Path("report") / "charts"
"""Where a home keeps its drawings; it may be deleted at any time."""


@contextmanager
def studio(*, wanted: bool = True, home: Path | None = None) -> Generator[Studio | None]:
    """Open a studio, if a page is wanted."""
    if not wanted:
        yield None
        return
    with Studio(Kept((home or places.home()) / CHARTS)) as opened:
        yield opened
