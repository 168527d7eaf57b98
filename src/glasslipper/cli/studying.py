"""Puts a study together: the ledger, the price lists of the catalogue, and files of the user's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

from msgspec import Struct, structs

from glasslipper.cli.output import console
from glasslipper.report import invoice as bills
from glasslipper.report import market as markets
from glasslipper.report.build import Answered, Report, build
from glasslipper.report.charts.studio import Studio
from glasslipper.report.facts import Catalogue, ModelFacts, read_own
from glasslipper.report.offers import Offer
from glasslipper.report.page.html import order_of, page
from glasslipper.report.section import Missing
from glasslipper.report.study import Options, Study
from glasslipper.store import places
from glasslipper.store.files import replacing

TRUTH = Path("truth.json")
"""What was planted, in the home of a generated ledger."""

OWN_MODELS = Path("report") / "models.json"
"""Where a home keeps facts about its models, unless `--models` says otherwise."""

HIGHLIGHTS = (
    "open-share",
    "programming-share",
    "glass-slipper",
    "switches",
    "overpaying",
    "what-if",
    "failures",
    "spend-forecast",
    "data-quality",
)

Watch = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


class Given(Struct, frozen=True, kw_only=True):
    """What a study is made of beside the ledger."""

    options: Options = Options()
    models: Path | None = None
    rankings: Path | None = None
    invoice: Path | None = None
    home: Path | None = None


def study(given: Given, watch: Watch, studio: Studio | None = None) -> Report:
    """Read the ledger and answer every section; charts are begun in the studio, if there is one.

    Raises:
        InvalidRequest: A file that was given cannot be read.
    """
    from glasslipper.ledger.read.scan import Lake
    from glasslipper.report.sections import PARTS

    home = given.home or places.home()
    market = markets.read(given.rankings) if given.rankings else None
    bill = bills.read(given.invoice) if given.invoice else None
    kept = home / OWN_MODELS
    own = given.models or (kept if kept.exists() else None)
    facts = read_own(own) if own else []
    total = sum(len(part.sections) for part in PARTS)
    watch("Reading the ledger", 0, total)
    with Lake(home) as lake:
        used = [str(row[0]) for row in lake.rows("SELECT DISTINCT model FROM usage_daily")]
        last: date | None = lake.rows("SELECT max(day) FROM usage_daily")[0][0]
        cards, offers = _catalogue(used, given.options.last or last)
        tables = Study(
            lake, given.options, Catalogue(facts, cards), offers=offers, market=market, bill=bill
        )
        done = iter(range(1, total + 1))

        def tick(one: Answered) -> None:
            watch(one.section.name, next(done), total)
            order = order_of(one)
            if studio is not None and order is not None:
                studio.begin(order)

        found = build(tables, tick=tick)
    return structs.replace(found, generated=(home / TRUTH).exists())


def _catalogue(used: list[str], last: date | None) -> tuple[list[ModelFacts], list[Offer]]:
    """Return what the gateway's catalogue knows of these models: facts, and prices of the last day.

    Some prices go by the hour. Noon (UTC) stands for the day, so that a report made in the evening
    is that of the morning.
    """
    from glasslipper.gateway.prices import catalogue
    from glasslipper.gateway.providers.table import PROVIDERS

    wanted = set(used)
    noon = datetime.combine(last or date(1970, 1, 1), time(12), UTC)
    when_ms = int(noon.timestamp() * 1000)
    names = [provider.slug for provider in PROVIDERS]
    shipped = catalogue.load(names)
    facts: dict[str, ModelFacts] = {}
    offers: list[Offer] = []
    for provider in shipped.providers:
        for card in shipped.cards(provider):
            if card.id not in wanted:
                continue
            facts.setdefault(
                card.id,
                ModelFacts(id=card.id, reasoning=card.reasoning, released=card.released or ""),
            )
            if card.tariff is not None:
                price = card.tariff.price_at(when_ms, 0)
                offers.append(
                    Offer(
                        model=card.id,
                        provider=provider,
                        input=price.input,
                        output=price.output,
                        cache_read=price.rate("cache_read"),
                        source=card.tariff.source,
                    )
                )
    return list(facts.values()), offers


def write_page(
    found: Report,
    path: Path,
    watch: Watch,
    studio: Studio | None = None,
    *,
    interactive: bool = False,
) -> int:
    """Draw the report into a file, all of it or nothing; return its size in bytes."""
    total = len(found.sections)
    done = iter(range(1, total + 1))
    text = page(
        found,
        tick=lambda one: watch(f"Drawing {one.section.name}", next(done), total),
        studio=studio,
        interactive=interactive,
    )
    data = text.encode()
    with replacing(path) as out:
        out.write(data)
    return len(data)


def highlights(found: Report) -> list[str]:
    """Return the claims that one would read first."""
    claims = {
        one.section.id: one.result.claim
        for one in found.sections
        if not isinstance(one.result, Missing)
    }
    lines = [claims[name] for name in HIGHLIGHTS if name in claims]
    answered = len(claims)
    return [*lines, f"{answered} of {len(found.sections)} figures have data."]


@contextmanager
def watched(*, quiet: bool) -> Generator[Watch]:
    """Show a bar on the terminal while something long is done."""
    if quiet or not console(errors=True).is_terminal:
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console(errors=True),
        transient=True,
    )
    task = bar.add_task("", total=None)

    def watch(what: str, done: int, total: int) -> None:
        bar.update(task, description=what, completed=done, total=total)

    with bar:
        yield watch
