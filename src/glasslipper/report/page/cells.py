"""Tables as HTML, CSV and JSON. A heading's last letter says what its column holds."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence

from glasslipper.kernel.money import NANO
from glasslipper.report import words
from glasslipper.report.section import Cell, Table

_MARKS = "#%$"
MOST_ROWS = 120
"""Rows that a page shows of a table; the files hold all."""


def heading(text: str) -> str:
    """Return a heading without its mark; dollars are named."""
    return text.rstrip(_MARKS) if text[-1:] in _MARKS else text


def shown(cell: Cell, mark: str) -> str:
    """Return a cell as people read it."""
    if cell is None:
        return "\u2013"
    if isinstance(cell, str):
        return cell
    if mark == "%":
        return words.percent(cell)
    if mark == "$":
        return words.usd(cell)
    if isinstance(cell, float) and not cell.is_integer():
        return f"{cell:,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return f"{cell:,.0f}"


def as_html(table: Table, caption: str) -> str:
    """Return a table, its first column as the headers of rows."""
    marks = [text[-1:] if text[-1:] in _MARKS else "" for text in table.headings]
    head = "".join(
        f'<th scope="col"{_side(mark)}>{html.escape(heading(text))}</th>'
        for text, mark in zip(table.headings, marks, strict=True)
    )
    rows = "".join(_row(row, marks) for row in table.rows[:MOST_ROWS])
    left = len(table.rows) - MOST_ROWS
    rest = (
        f'<p class="note">{words.plural(left, "more row")}: `--tables FOLDER` writes them all.</p>'
        if left > 0
        else ""
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>{rest}"
    )


def _row(row: Sequence[Cell], marks: Sequence[str]) -> str:
    cells = [html.escape(shown(cell, mark)) for cell, mark in zip(row, marks, strict=True)]
    first = f'<th scope="row"{_side(marks[0])}>{cells[0]}</th>'
    rest = "".join(
        f"<td{_side(mark)}>{cell}</td>" for cell, mark in zip(cells[1:], marks[1:], strict=True)
    )
    return f"<tr>{first}{rest}</tr>"


def _side(mark: str) -> str:
    return ' class="n"' if mark else ""


_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def as_csv(table: Table) -> str:
    """Return a table as CSV: shares as fractions, dollars as dollars, exact to the nano-dollar.

    A text that a spreadsheet would take for a formula is kept from being one by an apostrophe.
    """
    marks = [text[-1:] if text[-1:] in _MARKS else "" for text in table.headings]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            heading(text) + (" (USD)" if mark == "$" else "")
            for text, mark in zip(table.headings, marks, strict=True)
        ]
    )
    for row in table.rows:
        writer.writerow(
            [
                cell / NANO if mark == "$" and isinstance(cell, int | float) else _harmless(cell)
                for cell, mark in zip(row, marks, strict=True)
            ]
        )
    return out.getvalue()
