"""`glasslipper ledger verify`: recomputes every counter from the rows and says what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table
from glasslipper.store import places

if TYPE_CHECKING:
    from glasslipper.ledger.read.verify import Difference, Sums, Verdict

MOST_SHOWN = 20


@options.example("glasslipper ledger verify")
@click.command()
@click.option("--counters-only", is_flag=True, help="Do not read every byte of sealed files.")
@options.as_json
def verify(*, counters_only: bool, as_json: bool) -> int:
    """Recompute every counter from the rows, and say what differs.

    Also holds sealed files against their checksums and their sums against their rows. Ends with
    status 1 if anything differs; a server may run meanwhile.
    """
    from glasslipper.ledger.read.verify import verify as hold_against_itself

    verdict = hold_against_itself(places.home(), files=not counters_only)
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(verdict), "holds": verdict.holds})
    else:
        _tell(verdict)
    return 0 if verdict.holds else 1


def _tell(verdict: Verdict) -> None:
    if verdict.differences:
        headings = ("Account", "Day", "Calls#", "in rows#", "Charged#", "in rows#")
        print_table(headings, [_line(one) for one in verdict.differences[:MOST_SHOWN]])
        left = len(verdict.differences) - MOST_SHOWN
        if left > 0:
            mention(f"… and {left} more counters differ.")
    for damage in verdict.damages:
        click.echo(f"{damage.segment}: {damage.file} {damage.why}.")
    for identifier in verdict.repeated:
        click.echo(f"{identifier} is there more than once.")
    mention(
        f"{verdict.generations:,} generations, {verdict.counters:,} counters,"
        f" {verdict.segments:,} sealed segments: "
        + ("everything adds up." if verdict.holds else "not everything adds up.")
    )


def _line(one: Difference) -> tuple[str, ...]:
    def pair(name: str) -> tuple[str, str]:
        return _said(one.counted, name), _said(one.recorded, name)

    return (one.account, one.day, *pair("generations"), *pair("charged_nanousd"))


def _said(sums: Sums, name: str) -> str:
    from glasslipper.kernel.money import usd_text

    value: int = getattr(sums, name)
    return f"{value:,}" if name == "generations" else usd_text(value)
