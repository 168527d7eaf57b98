"""`glasslipper explain`: why a request went where it went, what happened, and what it cost."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import print_json, printable


@options.example("glasslipper explain gen-01hzy3q8v7k2")
@click.command()
@click.argument("generation_id", metavar="GEN-ID")
@options.reaches_server
@options.as_json
def explain(*, generation_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Explain the generation GEN-ID."""
    from urllib.parse import urlencode

    from glasslipper.cli.explaining import price_of, read, tell
    from glasslipper.cli.reach import admin_api

    with admin_api(url, key) as api:
        answer = api.call("GET", f"/generation?{urlencode({'id': generation_id})}")
        found = read(answer)
        price = price_of(api, found.price_id)
    if as_json:
        import msgspec

        from glasslipper.cli.reading import read_answer

        data = read_answer(answer, dict[str, object])
        print_json({"data": data, "price": msgspec.to_builtins(price)})
        return
    for line in tell(found, price):
        click.echo(printable(line))
