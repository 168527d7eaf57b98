"""`glasslipper ledger`: checks, seals, and carries the records of all calls in and out."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.lazy import LazyGroup

COMMANDS = {
    "verify": "glasslipper.cli.ledger_verify:verify",
    "seal": "glasslipper.cli.ledger_seal:seal",
    "export": "glasslipper.cli.ledger_carry:export",
    "import": "glasslipper.cli.ledger_carry:imports",
}


@options.example("glasslipper ledger verify", "glasslipper ledger export calls.jsonl")
@click.group(cls=LazyGroup, commands_at=COMMANDS)
def ledger() -> None:
    """Check the records of all calls, and carry them in and out."""
