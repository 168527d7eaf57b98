"""`glasslipper report`: the study of the traffic, as one page."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from glasslipper.cli import options
from glasslipper.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from glasslipper.report.build import Report

COMMANDS = {
    "demo": "glasslipper.cli.report_demo:demo",
    "ask-again": "glasslipper.cli.report_again:ask_again",
}
DAY = click.DateTime(formats=["%Y-%m-%d"])
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PAGE = Path("glasslipper-report.html")


@options.example(
    "glasslipper report",
    "glasslipper report --from 2026-01-01 --out year.html --tables year/",
    "glasslipper report --interactive --rankings rankings.jsonl",
    "glasslipper report --invoice openai.csv --json",
    "glasslipper report demo",
)
@click.group(cls=LazyGroup, commands_at=COMMANDS, invoke_without_command=True)
@click.option("--from", "first", type=DAY, help="The first day (UTC).  [the ledger's first]")
@click.option("--to", "last", type=DAY, help="The last day (UTC).  [the ledger's last]")
@click.option(
    "--group-by",
    "unit",
    type=click.Choice(["workload", "key", "user"]),
    default="workload",
    help="Whom cohorts are made of; a workload is key, app and system prompt.  [workload]",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=f"The page.  [{PAGE}]")
@click.option(
    "--tables",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write every table into this folder, as CSV and JSON.",
)
@options.interactive
@click.option("--models", type=FILE, help="Facts about your models: a JSON list.")
@click.option("--rankings", type=FILE, help="Daily rankings of the market, to compare with.")
@click.option("--invoice", type=FILE, help="A provider's bill, as CSV, to hold the ledger against.")
@click.option("--least", type=click.IntRange(1), default=5, help="Hide cells of fewer units.  [5]")
@click.option("--seed", type=int, default=0, help="Of the resampling.  [0]")
@options.as_json
@click.pass_context
def report(
    context: click.Context,
    *,
    first: datetime | None,
    last: datetime | None,
    unit: Literal["workload", "key", "user"],
    out: Path | None,
    tables: Path | None,
    interactive: bool,
    models: Path | None,
    rankings: Path | None,
    invoice: Path | None,
    least: int,
    seed: int,
    as_json: bool,
) -> None:
    """Study the traffic in the ledger, and write what it shows as one page.

    The page needs no network and no scripts, unless it is to be --interactive; even then it loads
    nothing. Nothing is sent anywhere. With --json the claims and
    numbers are printed, and a page is written only where --out says so.
    """
    if context.invoked_subcommand is not None:
        return
    from glasslipper.cli.drawing import studio
    from glasslipper.kernel.errors import InvalidRequest

    if first is not None and last is not None and last < first:
        raise InvalidRequest(
            f"{_day(last)} is before {_day(first)}.", hint="Put the earlier day behind --from."
        )
    page = out or (None if as_json else PAGE)
    with studio(wanted=page is not None) as opened:
        from glasslipper.cli import studying
        from glasslipper.report.study import Options

        wish = Options(first=_day(first), last=_day(last), unit=unit, least=least, seed=seed)
        given = studying.Given(options=wish, models=models, rankings=rankings, invoice=invoice)
        with studying.watched(quiet=as_json) as watch:
            found = studying.study(given, watch, opened)
            if page is not None:
                studying.write_page(found, page, watch, opened, interactive=interactive)
    if tables is not None:
        from glasslipper.report.export import write_tables

        write_tables(found, tables)
    _tell(found, page, tables, as_json=as_json)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _tell(found: Report, page: Path | None, tables: Path | None, *, as_json: bool) -> None:
    from glasslipper.cli.output import mention, print_json, say
    from glasslipper.report.export import as_json as told

    if as_json:
        print_json(told(found))
        return
    from glasslipper.cli.studying import highlights

    for line in highlights(found):
        say(line)
    mention(f"The page is {page}." + (f" The tables are in {tables}." if tables else ""))
