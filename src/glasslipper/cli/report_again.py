"""`glasslipper report ask-again`: stored prompts, put to a cheaper model and compared."""

from __future__ import annotations

import click

from glasslipper.cli import options


@options.example(
    'glasslipper report ask-again --workload "key-01/support/9f2c" --to lab/small --judge lab/big',
    'glasslipper report ask-again --workload "key-01/support/9f2c" --to local/smol --sample 20',
)
@click.command("ask-again")
@click.option(
    "--workload",
    "workloads",
    metavar="KEY/APP/PRINT",
    multiple=True,
    required=True,
    help="As the report names it; may be given several times.",
)
@click.option("--from", "main", metavar="MODEL", help="The dear model.  [what they pay most for]")
@click.option("--to", "other", metavar="MODEL", required=True, help="The cheaper model.")
@click.option("--sample", type=click.IntRange(1), default=100, help="How many prompts.  [100]")
@click.option("--judge", metavar="MODEL", help="Who compares answers that differ.")
@click.option("--seed", type=int, default=0, help="Of the sample.  [0]")
@options.reaches_server
@options.as_json
def ask_again(
    *,
    workloads: tuple[str, ...],
    main: str | None,
    other: str,
    sample: int,
    judge: str | None,
    seed: int,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Ask stored prompts of a workload again, of a cheaper model, and compare the answers.

    Prompts are there where the server keeps some: `classify = true` and `keep_prompts = 0.05` in
    the settings. Both models are asked, through the gateway; the key pays. Answers that say the
    same are as good. Others are shown to the judge twice, in both orders; without a judge the
    cheaper model's count as worse. What comes out is noted in the ledger, and the report's section
    on overpaying uses it. Asking again goes on with other prompts.
    """
    from glasslipper.cli.asking_again import Asking, outcome
    from glasslipper.cli.output import mention, print_json, say
    from glasslipper.cli.reach import require_server
    from glasslipper.cli.refusal import Refusal
    from glasslipper.cli.studying import watched
    from glasslipper.ledger.read.scan import Lake
    from glasslipper.report import again
    from glasslipper.store import places

    server = require_server(url, key)
    with Lake(places.home()) as lake:
        paid = main or again.mostly_paid(lake, workloads)
        prompts = [] if paid is None else again.stored(lake, workloads, paid, other)
    if paid is None or not prompts:
        raise Refusal(
            f"No stored prompt of {'these workloads' if workloads[1:] else 'this workload'} is "
            f"left to ask {other}.",
            code="nothing_stored",
            hint="Set `classify = true` and a share `keep_prompts` in settings.toml, serve for a "
            "while, and name the workload as the report does.",
        )
    asking = Asking(server, main=paid, other=other, judge=judge)
    drawn = again.sample(prompts, sample, seed)
    with watched(quiet=as_json) as watch:
        for number, prompt in enumerate(drawn):
            watch(f"Asking {other} again", number, len(drawn))
            asking.ask(prompt)
    found = outcome(asking, workloads)
    if as_json:
        print_json(found.as_json())
        return
    for line in found.lines():
        say(line)
    if found.command:
        mention(f"To let it answer from now on: {found.command}")
