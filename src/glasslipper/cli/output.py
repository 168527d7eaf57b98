"""What commands print: for people on a terminal, or JSON for programs.

People's words go through rich, which is loaded only when something is said.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


@functools.cache
def console(*, errors: bool = False) -> Console:
    """Return the terminal, for standard output or for what is not the result."""
    from rich.console import Console

    return Console(stderr=errors, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print a line for people; `[bold]…[/bold]` is understood."""
    console().print(text)


def mention(text: str) -> None:
    """Print a line beside the result, on standard error."""
    console(errors=True).print(text)


def print_json(value: object) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose heading ends with `#` are aligned right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.endswith("#")
        table.add_column(heading.rstrip("#"), justify="right" if right else "left")
    for row in rows:
        table.add_row(*row)
    console().print(table)
