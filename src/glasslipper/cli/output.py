"""What commands print: for people on a terminal, or JSON for programs.

People's words go through rich, which is loaded only when something is said. What others wrote
(names, answers) is never taken for markup or for commands to the terminal.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from glasslipper.cli.refusal import Refusal

if TYPE_CHECKING:
    from rich.console import Console

    from glasslipper.kernel.errors import GlasslipperError

UNBROKEN = 4_096
"""Columns of a line that goes to a program: enough that nothing is wrapped."""

_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@functools.cache
def console(*, errors: bool = False) -> Console:
    """Return the terminal, for standard output or for what is not the result."""
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else UNBROKEN
    return Console(stderr=errors, highlight=False, soft_wrap=True, width=width)


def say(text: str) -> None:
    """Print a line for people; `[bold]…[/bold]` is understood."""
    console().print(text)


def mention(text: str) -> None:
    """Print a line beside the result, on standard error, exactly as it is but for colour."""
    click.secho(printable(text), dim=True, err=True)


def printable(text: str) -> str:
    """Return text without the characters that command a terminal."""
    return _COMMANDS.sub("", text)


def print_json(value: object) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose heading ends with `#` are aligned right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        right = heading.endswith("#")
        table.add_column(heading.rstrip("#"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def print_failure(error: GlasslipperError, *, as_json: bool) -> None:
    """Say on standard error what went wrong and what to do about it."""
    if as_json:
        code = error.code if isinstance(error, Refusal) else error.slug
        told = {"code": code, "message": error.message, "hint": error.hint, "param": error.param}
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
        return
    click.echo(printable(error.message), err=True)
    if error.hint:
        click.echo(printable(error.hint), err=True)
