"""The report for programs: one JSON document, and a CSV and a JSON file for each table."""

from __future__ import annotations

from pathlib import Path

import msgspec

from glasslipper.report.build import Answered, Report
from glasslipper.report.page import cells
from glasslipper.report.section import Missing
from glasslipper.store.files import plain_errors

FORMAT = 1


def as_json(report: Report, *, tables: bool = False) -> dict[str, object]:
    """Return claims and findings by section; with `tables`, their data too."""
    return {
        "format": FORMAT,
        "from": report.first,
        "to": report.last,
        "unit": report.options.unit,
        "requests": report.requests,
        "tokens": report.tokens,
        "cost_nanousd": report.cost_nanousd,
        "sections": [_section(one, tables=tables) for one in report.sections],
    }


def _section(one: Answered, *, tables: bool) -> dict[str, object]:
    about: dict[str, object] = {
        "number": one.section.number,
        "id": one.section.id,
        "name": one.section.name,
    }
    result = one.result
    if isinstance(result, Missing):
        return about | {"missing": result.what, "how": result.how}
    about |= {"claim": result.claim, "findings": msgspec.to_builtins(result.findings)}
    if result.command:
        about["command"] = result.command
    if tables:
        headings = [cells.heading(text) for text in result.table.headings]
        about["table"] = {"headings": headings, "rows": [list(row) for row in result.table.rows]}
    return about


def write_tables(report: Report, folder: Path) -> int:
    """Write each section's table as `NN-id.csv` and `NN-id.json`; return how many sections.

    A table that an earlier report left there, of a section that has no data now, is removed.

    Raises:
        DiskFull: There is no room.
        StoreFailed: Anything else went wrong with a file.
    """
    written = 0
    with plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for one in report.sections:
            name = f"{one.section.number:02d}-{one.section.id}"
            lines, told = folder / f"{name}.csv", folder / f"{name}.json"
            if isinstance(one.result, Missing):
                lines.unlink(missing_ok=True)
                told.unlink(missing_ok=True)
                continue
            lines.write_text(cells.as_csv(one.result.table), encoding="utf-8")
            document = msgspec.json.encode(_section(one, tables=True))
            told.write_bytes(msgspec.json.format(document, indent=1))
            written += 1
    return written
