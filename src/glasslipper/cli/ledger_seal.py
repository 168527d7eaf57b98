"""`glasslipper ledger seal`: seals what is recorded, now; a server does so by itself."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table
from glasslipper.store import places


@options.example("glasslipper ledger seal")
@click.command()
@click.option("--due", is_flag=True, help="Only what a server would seal by itself.")
@options.as_json
def seal(*, due: bool, as_json: bool) -> None:
    """Seal what is recorded into compressed files for studies.

    A server does so by itself every hour, and whenever enough calls are recorded. Nothing that
    can be read changes by it. While another process seals, this one leaves it to it.
    """
    from glasslipper.ledger.write import seal as sealer

    home = places.home()
    made = sealer.seal(home, sealer.When() if due else sealer.NOW) if home.exists() else []
    lines = [
        {
            "segment": one.path,
            "generations": one.manifest.files["generations"].rows,
            "size_bytes": sum(file.size_bytes for file in one.manifest.files.values()),
        }
        for one in made
    ]
    if as_json:
        print_json({"data": lines})
        return
    if lines:
        rows = [
            tuple(f"{value:,}" if isinstance(value, int) else value for value in line.values())
            for line in lines
        ]
        print_table(("Segment", "Generations#", "Bytes#"), rows)
    mention(f"{len(lines)} segments sealed.")
