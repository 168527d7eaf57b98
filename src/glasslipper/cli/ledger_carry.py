"""`glasslipper ledger export` and `import`: carries records out of the ledger and into it."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.store import places
from glasslipper.store.files import replacing

if TYPE_CHECKING:
    from glasslipper.gateway.prices.catalogue import Catalogue
    from glasslipper.gateway.prices.tariff import Tariff
    from glasslipper.kernel.money import Price
    from glasslipper.ledger.read.export import Exported, Span

FORMATS = ("glasslipper", "openrouter", "litellm", "langfuse", "openai", "anthropic", "costs")

_DATED = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
"""How providers date a version of a model; where it has no price of its own, the model's is its."""

_MEND = (
    "Check that the file is what `{source}` means (glasslipper ledger import --help), mend it and "
    "import it again: what is already here is not taken twice."
)


@options.example(
    "glasslipper ledger export calls.jsonl",
    "glasslipper ledger export --since 30d - | gzip > calls.jsonl.gz",
    "glasslipper ledger export --parquet calls/",
)
@click.command()
@click.argument("to", metavar="FILE|FOLDER|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--parquet", is_flag=True, help="Write a folder of Parquet files, for other tools.")
@click.option("--since", type=options.Since(), help="How far back, such as 30d, or from which day.")
@click.option("--until", type=options.Since(), help="Until which day, which is left out.")
@options.as_json
def export(*, to: Path, parquet: bool, since: int | None, until: int | None, as_json: bool) -> None:
    """Write what is recorded to FILE as JSON lines, or as Parquet files to FOLDER.

    JSON lines can be imported again, here or elsewhere, without loss. No prompts or answers are
    in the ledger.
    """
    from glasslipper.ledger.read.export import Span

    span = Span(since_ms=since or 0, until_ms=until if until is not None else 2**62)
    done = _exported(to, span, parquet=parquet)
    if as_json and str(to) != "-":
        print_json({"generations": done.generations, "late_facts": done.late_facts})
        return
    mention(f"{done.generations:,} generations and {done.late_facts:,} late facts written.")


def _exported(to: Path, span: Span, *, parquet: bool) -> Exported:
    from glasslipper.ledger.read import export as exporting

    if parquet and str(to) == "-":
        raise InvalidRequest("Parquet files need a folder.", hint="Name one instead of `-`.")
    if parquet:
        return exporting.write_parquet(places.home(), to, span)
    if to.suffix == ".parquet":
        raise InvalidRequest(
            "Without --parquet the file holds JSON lines.",
            hint="Add --parquet and name a folder, or call the file .jsonl.",
        )
    with _writing(to) as out:
        return exporting.write_lines(places.home(), out, span, _told("written"))


@contextmanager
def _writing(to: Path) -> Generator[BinaryIO]:
    """Open standard output, or a file that gets its name when it is whole."""
    if str(to) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with replacing(to) as out:
        yield out


@options.example(
    "glasslipper ledger import openrouter openrouter_activity_2026-11-26.csv",
    "glasslipper ledger import litellm spend_logs.json",
    "glasslipper ledger import glasslipper calls.jsonl",
)
@click.command("import")
@click.argument("source", metavar="FORMAT", type=click.Choice(FORMATS))
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.as_json
def imports(*, source: str, files: tuple[Path, ...], as_json: bool) -> None:
    """Take over the calls that other products recorded, so that they can be studied here.

    \b
    glasslipper  what `ledger export` wrote
    openrouter   the activity CSV
    litellm      spend logs: JSON, JSON lines or CSV
    langfuse     observations: JSON, JSON lines or CSV
    openai       usage of completions: JSON of the API, or CSV
    anthropic    usage of messages: JSON of the API, or CSV
    costs        what calls of this ledger really cost: generation_id, cost_usd

    Importing the same calls twice adds nothing. Budgets do not change.
    """  # noqa: D301 - \b keeps click from joining the lines
    from glasslipper.ledger.imports import FORMATS as READERS
    from glasslipper.ledger.write.importing import take_over

    read = added = facts = unfinished = 0
    for file in files:
        if not file.exists():
            raise InvalidRequest(f"{file} is not there.", hint="Check the path of the file.")
        records = READERS[source](file, _list_price)
        try:
            done = take_over(places.home(), source, records, progress=_told("read"))
        except InvalidRequest as error:
            if error.hint == error.default_hint:  # it is about a client's request
                error.hint = _MEND.format(source=source)
            raise
        read, added, facts = read + done.read, added + done.added, facts + done.facts_added
        unfinished += done.unfinished
    if as_json:
        print_json(
            {"read": read, "added": added, "late_facts_added": facts, "unfinished": unfinished}
        )
        return
    if unfinished:
        mention(
            f"Left out because it was not over when the file was written: {unfinished:,} hours or"
            " days. Export and import them again later."
        )
    mention(f"{read:,} records read, {added:,} generations and {facts:,} late facts added.")


def _told(word: str) -> Callable[[int], None]:
    def tell(count: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{count:,} {word} …", nl=False, err=True)

    return tell


def _list_price(provider: str, model: str, when_ms: int, prompt_tokens: int) -> Price | None:
    """Return the list price of a provider's model, if the catalogue knows it."""
    tariff = _tariff(provider, model)
    return tariff.price_at(when_ms, prompt_tokens) if tariff is not None else None


@functools.cache
def _catalogue(provider: str) -> Catalogue:
    from glasslipper.gateway.prices.catalogue import load

    return load([provider])


@functools.lru_cache(maxsize=4_096)
def _tariff(provider: str, model: str) -> Tariff | None:
    cards = _catalogue(provider)
    card = cards.find(provider, model) or cards.find(provider, _DATED.sub("", model))
    return card.tariff if card is not None else None
