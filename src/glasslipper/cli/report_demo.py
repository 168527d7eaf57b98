"""`glasslipper report demo`: a generated year with known effects, and the report of it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from glasslipper.cli import options
from glasslipper.cli.refusal import Refusal

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
    from glasslipper.cli.drawing import studio
    from glasslipper.cli.generating import generate
    from glasslipper.cli.output import mention, print_json, say
    from glasslipper.report.export import as_json as told
    from glasslipper.testing.year import Wish

    if folder.exists() and any(folder.iterdir()):
        raise Refusal(
            f"{folder} is not empty.",
            code="not_empty",
            hint="Name a folder that does not exist yet.",
        )
    with studying.watched(quiet=as_json) as watch:
        wish = Wish(seed=seed, rows=rows, everything=everything)
        truth = generate(folder, wish, watch=watch, processes=os.cpu_count() or 1)
        given = studying.Given(home=folder, invoice=folder / "invoice.csv")
        with studio(home=folder) as opened:
            found = studying.study(given, watch, opened)
            page = folder / "report.html"
            size = studying.write_page(found, page, watch, opened, interactive=interactive)
    if as_json:
        print_json(told(found) | {"truth": str(folder / "truth.json"), "html_bytes": size})
        return
    for line in studying.highlights(found):
        say(line)
    lacks = f" This seed lacks: {', '.join(truth.absent)}." if truth.absent else ""
    mention(f"The page is {page}, the truth {folder / 'truth.json'}.{lacks}")
