"""`glasslipper route`: rules that another model answers a workload."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import mention, print_json, print_table


@options.example(
    'glasslipper route add --workload "key-01/support/9f2c" --from lab/big --to lab/small',
    "glasslipper route list",
    "glasslipper route remove route-01hzy3q8v7k2",
)
@click.group()
def route() -> None:
    """Let another model answer a workload; a workload is key, app and system prompt."""


@options.example(
    'glasslipper route add --workload "key-01/support/9f2c" --from lab/big --to lab/small',
)
@route.command()
@click.option(
    "--workload",
    "workloads",
    metavar="KEY/APP/PRINT",
    multiple=True,
    required=True,
    help="As the report names it; may be given several times.",
)
@click.option("--from", "asked", metavar="MODEL", help="Only where this model is asked for.  [any]")
@click.option("--to", metavar="MODEL", required=True, help="The model that is to answer.")
@options.reaches_server
@options.as_json
def add(
    *,
    workloads: tuple[str, ...],
    asked: str | None,
    to: str,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Let MODEL answer these workloads from now on, all of them or none.

    Where it cannot, the model asked for answers. A request whose header says `X-Reroute: off` is
    left alone. The answer's headers and `glasslipper explain` tell which rule was at work.
    """
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.reading import read_answer
    from glasslipper.cli.rerouting import Rule

    wish = {"workloads": list(workloads), "to": to} | ({"from": asked} if asked else {})
    with admin_api(url, key) as api:
        answer = api.call("POST", "/admin/routes", wish)
    if as_json:
        print_json(answer)
        return
    for rule in read_answer(answer, list[Rule]):
        click.echo(rule.id)
    number = "workload" if len(workloads) == 1 else "workloads"
    mention(f"{to} answers {len(workloads)} {number} now. `glasslipper route remove` undoes it.")


@options.example("glasslipper route list")
@route.command("list")
@options.reaches_server
@options.as_json
def list_rules(*, url: str | None, key: str | None, as_json: bool) -> None:
    """Show every rule."""
    from glasslipper.cli.reach import admin_api
    from glasslipper.cli.reading import read_answer
    from glasslipper.cli.rerouting import HEADINGS, Rule

    with admin_api(url, key) as api:
        answer = api.call("GET", "/admin/routes")
    if as_json:
        print_json(answer)
        return
    print_table(HEADINGS, [rule.row() for rule in read_answer(answer, list[Rule])])


@options.example("glasslipper route remove route-01hzy3q8v7k2")
@route.command()
@click.argument("rule_ids", metavar="ROUTE-ID...", nargs=-1, required=True)
@options.reaches_server
@options.as_json
def remove(*, rule_ids: tuple[str, ...], url: str | None, key: str | None, as_json: bool) -> None:
    """Let the models asked for answer again."""
    from glasslipper.cli.client import in_path
    from glasslipper.cli.reach import admin_api

    with admin_api(url, key) as api:
        for rule_id in rule_ids:
            answer = api.call("DELETE", f"/admin/routes/{in_path(rule_id)}")
            if as_json:
                print_json(answer)
            else:
                click.echo(f"{rule_id} is no rule any more.")
