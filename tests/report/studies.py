"""Studies a generated year, and says what the study found."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from glasslipper.cli import studying
from glasslipper.report.build import Report
from glasslipper.report.export import as_json


class Studied(NamedTuple):
    home: Path
    truth: dict[str, Any]
    report: Report
    found: dict[str, dict[str, Any]]
    html: str


def nobody_watches(what: str, done: int, total: int) -> None:
    """Take no notice."""


def study(home: Path, **more: Any) -> Report:
    given = studying.Given(home=home, invoice=home / "invoice.csv", **more)
    return studying.study(given, nobody_watches)


def findings(report: Report) -> dict[str, dict[str, Any]]:
    told: Any = json.loads(json.dumps(as_json(report)))
    return {one["id"]: one.get("findings", {}) for one in told["sections"]}
