"""`glasslipper prices`: what models cost now, who says so, and how long ago."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import print_json, print_table


@options.example("glasslipper prices gpt", "glasslipper prices --provider anthropic")
@click.command()
@click.argument("text", metavar="[MODEL]", default="")
@click.option("--provider", metavar="NAME", help="Only at this provider.")
@options.reaches_server
@options.as_json
def prices(
    *, text: str, provider: str | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """Show what models cost whose id holds MODEL, or all."""
    from urllib.parse import urlencode

    from glasslipper.cli.pricing import HEADINGS, lines, read
    from glasslipper.cli.reach import admin_api

    query = f"?{urlencode({'provider': provider})}" if provider else ""
    with admin_api(url, key) as api:
        found = read(api.call("GET", f"/admin/prices{query}"))
    wanted = [one for one in found if text.lower() in one.model.lower()]
    if as_json:
        import msgspec

        print_json({"data": msgspec.to_builtins(wanted)})
        return
    print_table(HEADINGS, [line for one in wanted for line in lines(one)])
