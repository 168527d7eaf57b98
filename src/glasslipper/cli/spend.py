"""`glasslipper spend`: what was spent, in groups."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import print_json, print_table

GROUPS = ("key", "model", "day", "provider", "status")


@options.example("glasslipper spend --by model --since 7d")
@click.command()
@click.option("--by", type=click.Choice(GROUPS), default="key", help="What to group by.  [key]")
@click.option("--since", type=options.Since(), help="How far back, such as 7d, or from which day.")
@options.reaches_server
@options.as_json
def spend(*, by: str, since: int | None, url: str | None, key: str | None, as_json: bool) -> None:
    """Show what was spent, the dearest first."""
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.spending import line, read, total

    with admin_api(url, key) as api:
        answer = api.call("GET", f"/admin/spend?by={by}&since_ms={since or 0}")
    if as_json:
        print_json(answer)
        return
    groups = read(answer)
    headings = (by.capitalize(), "Calls#", "Prompt tokens#", "Answer tokens#", "Spent#")
    print_table(headings, [line(group) for group in [*groups, total(groups)]])
