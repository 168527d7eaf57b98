"""`glasslipper report demo`: a generated year with known effects, and the report of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.refusal import Refusal

if TYPE_CHECKING:
    from glasslipper.testing.year import Truth, Year

FOLDER = Path("glasslipper-demo")


@options.example(
    "glasslipper report demo",
    "glasslipper report demo year/ --rows 1000000 --seed 7",
    "GLASSLIPPER_HOME=glasslipper-demo glasslipper report --tables tables/",
)
@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER)
@click.option("--rows", type=click.IntRange(1000), default=200_000, help="How many.  [200000]")
@click.option("--seed", type=int, default=1, help="Of everything that is drawn.  [1]")
@click.option("--everything", is_flag=True, help="Plant every effect; else a seed lacks some.")
@options.interactive
@options.as_json
def demo(
    *, folder: Path, rows: int, seed: int, everything: bool, interactive: bool, as_json: bool
) -> None:
    """Generate a year of traffic into FOLDER, with effects whose size is known, and study it.

    FOLDER becomes a home of its own: ledger, truth.json (what was planted), invoice.csv (a
    provider's bill) and report.html. Its models and users are invented.
    """
    from glasslipper.cli import studying
    from glasslipper.cli.output import mention, print_json, say
    from glasslipper.report import as_json as told

    if folder.exists() and any(folder.iterdir()):
        raise Refusal(
            f"{folder} is not empty.",
            code="not_empty",
            hint="Name a folder that does not exist yet.",
        )
    with studying.watched(quiet=as_json) as watch:
        year, truth = generate(folder, rows=rows, seed=seed, everything=everything, watch=watch)
        given = studying.Given(home=folder, invoice=folder / "invoice.csv")
        with studying.studio() as studio:
            found = studying.study(given, watch, studio)
            page = folder / "report.html"
            size = studying.write_page(found, page, watch, studio, interactive=interactive)
    if as_json:
        print_json(told(found) | {"truth": str(folder / "truth.json"), "html_bytes": size})
        return
    for line in studying.highlights(found):
        say(line)
    lacks = f" This seed lacks: {', '.join(truth.absent)}." if truth.absent else ""
    mention(f"The page is {page}, the truth {folder / 'truth.json'}.{lacks}")
    del year


def generate(
    folder: Path, *, rows: int, seed: int, everything: bool, watch: object = None
) -> tuple[Year, Truth]:
    """Write a generated year's ledger and its truth into a folder."""
    from glasslipper.ledger.write.bulk import Bulk
    from glasslipper.testing.year import Wish, Year

    year = Year(Wish(seed=seed, rows=rows, everything=everything))
    done = 0

    def tick(more: int) -> None:
        nonlocal done
        done += more
        if callable(watch):
            watch("Generating a year", done, rows)

    with Bulk(folder) as writer:
        truth = year.write(writer, tick)
    year.write_files(folder, truth)
    (folder / "report").mkdir(exist_ok=True)
    (folder / "models.json").replace(folder / "report" / "models.json")
    _keep_prices(folder, year)
    return year, truth


def _keep_prices(folder: Path, year: Year) -> None:
    """Remember the price rows that the generations name."""
    from glasslipper.kernel.money import Price
    from glasslipper.kernel.record import PriceRow
    from glasslipper.ledger import tables
    from glasslipper.ledger.read.accounts import STATE_FILE
    from glasslipper.ledger.write import prices
    from glasslipper.store.database import Database
    from glasslipper.store.migrate import migrate

    state = Database(folder / STATE_FILE)
    try:
        migrate(state, tables.STATE)
        for offer in year.prices():
            price = Price(input=offer.price[0], cache_read=offer.price[1], output=offer.price[2])
            row = PriceRow(id=offer.price_id, price=price, source="generated", as_of="2026-11-01")
            prices.remember(state, offer.endpoint, row, 0)
    finally:
        state.close()
