"""`glasslipper doctor`: looks whether everything is there, and says how to get what is not."""

from __future__ import annotations

import click

from glasslipper.cli import options
from glasslipper.cli.output import print_json, printable

MARKS = {"ok": ("green", "ok"), "missing": ("red", "missing"), "optional": ("yellow", "-")}


@options.example("glasslipper doctor --deep")
@click.command()
@click.option("--deep", is_flag=True, help="Also hash the model files and read the whole store.")
@options.as_json
@click.pass_context
def doctor(context: click.Context, *, deep: bool, as_json: bool) -> None:
    """Check this machine, and say how to get what is missing.

    Ends with status 1 if something needed is missing.
    """
    from glasslipper.cli.checks import check_all

    findings = check_all(deep=deep)
    healthy = all(finding.state != "missing" for finding in findings)
    if as_json:
        print_json({"healthy": healthy, "checks": [finding._asdict() for finding in findings]})
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            colour, mark = MARKS[finding.state]
            click.secho(f"{mark:>8}  ", fg=colour, nl=False)
            click.echo(f"{finding.name:<{width}}  {printable(finding.text)}")
            if finding.hint:
                click.secho(f"{'':>8}  {'':<{width}}  → {printable(finding.hint)}", dim=True)
    if not healthy:
        context.exit(1)
