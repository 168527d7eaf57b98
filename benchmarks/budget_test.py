"""Asks for more than a key may spend, from a thousand clients at once, and counts the dollars.

A key with a limit of $5 is used for requests of $0.10 each, all in flight together. Several
runs: one and two gateway processes on one home, the requests split between them, and holds
  exact    of just the price of a request;
  ample    of three times that, and asking goes on in waves until nobody is served;
  liar     of the price, at a provider that then reports two and a half times as much;
  widowed  as ample, but one of two gateways is killed (SIGKILL) with requests in flight;
  retired  as ample, but one of two gateways is told to end (SIGTERM) with requests in flight.
While a run lasts, what is charged and held is read from the disk again and again. Two more runs
spend a whole *tree* of budgets, from the organisation down to sessions, at providers that fail in
every way, lie about usage and overcharge; in one of them a gateway is killed (`budget_tree`).

    make budget-test
    make budget-test ARGS="--quick"      # 250 clients

The keys of the last line are those of the run `exact` with two processes; `runs` has all of
them, with these besides:

    overshoot_nanousd        what was spent above the limit; `worst_overshoot_nanousd` is over all
    most_committed_nanousd   the most that was seen charged and held together at one moment
    held_nanousd             holds that are still there when all is over; `still_held_nanousd` is
                             over all runs
    left_nanousd             what is left of the budget when nobody is served any more
    orphans_after_5s         holds of the gateway that ended which were not given back 5 s later
    wrong_refusals           refusals that are not 402, or do not say how much is left
    difference_nanousd       what clients were told they paid, against counters and generations
    tree                     the run of the tree; `lost` and `duplicates` are over both of them
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from msgspec import Struct, structs

import audit
from budget_tree import TreeOutcome, run_tree
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from load import Answer, Target, allow_many_connections, ask
from outcome import Progress, conclude, mention, table

LIMIT_NANOUSD = 5 * 10**9
TOKENS = 100
OUT_USD = "1000"
"""USD per million tokens of answer, so that an answer of `TOKENS` costs `PRICE_NANOUSD`."""

PRICE_NANOUSD = 10**8
DELAY_MS = 400
"""How long the upstream thinks, so that every request that is admitted meets all the others."""

MODEL = "budget/fixed"
LIAR = "budget/liar"
SCRIPTS = {
    MODEL: f"fake?tokens={TOKENS}&prompt_tokens=0&delay_ms={DELAY_MS}",
    LIAR: f"fake?tokens={TOKENS}&prompt_tokens=0&delay_ms={DELAY_MS}&cost=0.25",
}
MOST_WAVES = 100
IN_FLIGHT = 8
"""How many calls the upstream has seen when a gateway is killed."""

ORPHANS_WITHIN_S = 5.0


class Plan(Struct, frozen=True, kw_only=True):
    """One run: how many gateways, which model, and how many tokens each request asks for."""

    name: str
    processes: int
    model: str
    max_tokens: int
    in_waves: bool = False
    ends: Literal["", "SIGKILL", "SIGTERM"] = ""
    """How the last gateway ends, while requests are in flight."""


class Outcome(Struct, kw_only=True):
    """What one run came to; money in nano-USD."""

    name: str
    processes: int
    concurrent: int
    limit_nanousd: int = LIMIT_NANOUSD
    hold_nanousd: int = 0
    waves: int = 0
    asked: int = 0
    accepted: int = 0
    refused: int = 0
    wrong_refusals: int = 0
    unanswered: int = 0
    spent_nanousd: int = 0
    billed_nanousd: int = 0
    overshoot_nanousd: int = 0
    most_committed_nanousd: int = 0
    looks: int = 0
    left_nanousd: int = 0
    held_nanousd: int = 0
    orphans_after_5s: int = 0
    release_s: float = 0.0
    difference_nanousd: int = 0
    wrong_prices: int = 0
    upstream_calls: int = 0


class Watch:
    """Reads from the disk, as often as it can, what a key is charged and holds."""

    def __init__(self, home: Path, account: str) -> None:
        """Begin at once, in a thread."""
        self.most_nanousd = 0
        self.looks = 0
        self._home, self._account = home, account
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.wait(0.005):
            self.most_nanousd = max(
                self.most_nanousd, sum(audit.committed_nanousd(self._home, self._account))
            )
            self.looks += 1

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()


async def run(plan: Plan, folder: Path, *, concurrent: int) -> Outcome:
    """Spend a fresh key's budget on a fresh home; return what came of it."""
    home = folder / f"{plan.name}-{plan.processes}"
    outcome = Outcome(
        name=plan.name,
        processes=plan.processes,
        concurrent=concurrent,
        hold_nanousd=PRICE_NANOUSD * plan.max_tokens // TOKENS,
    )
    with ExitStack() as stack:
        upstream = stack.enter_context(FakeUpstream())
        gateways = [_served(stack, home)]
        for model, script in SCRIPTS.items():
            gateways[0].add_model(
                model, upstream.url, upstream_model=script, price_in="0", price_out=OUT_USD
            )
        key = gateways[0].make_key("budget", limit_nanousd=LIMIT_NANOUSD)
        gateways += [_served(stack, home) for _ in range(plan.processes - 1)]
        account = _account_of(gateways[0], key)
        watch = Watch(home, account)
        stack.callback(watch.stop)
        shop = Shop(plan, gateways, outcome, key=key)
        ending = asyncio.create_task(_end(plan, upstream, gateways[-1], outcome))
        await shop.spend()
        await ending
        watch.stop()
        outcome.upstream_calls = len(upstream.calls())
        for gateway in gateways:
            gateway.stop()
    outcome.most_committed_nanousd, outcome.looks = watch.most_nanousd, watch.looks
    _judge(
        home, account, outcome, paid_nanousd=None if plan.ends == "SIGKILL" else shop.paid_nanousd
    )
    return outcome


async def _end(plan: Plan, upstream: FakeUpstream, gateway: Served, outcome: Outcome) -> None:
    """End a gateway that has requests in flight; see how soon its holds are given back."""
    if not plan.ends:
        return
    journal = audit.newest_journal(gateway.home)
    while len(upstream.calls()) < IN_FLIGHT:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(gateway.kill if plan.ends == "SIGKILL" else gateway.stop)
    ended_s = time.monotonic()
    while (held := audit.holds(gateway.home, journal)) and _since(ended_s) < ORPHANS_WITHIN_S:
        await asyncio.sleep(0.01)
    outcome.release_s = round(_since(ended_s), 3)
    outcome.orphans_after_5s = len(held)


def _since(moment_s: float) -> float:
    return time.monotonic() - moment_s


def _served(stack: ExitStack, home: Path) -> Served:
    models = {"GLASSLIPPER_MODELS": str(home.parent / "no-models")}
    log = home.parent / "gateways.log"
    return stack.enter_context(Served(home, environ=models, log=log))


def _account_of(gateway: Served, key: str) -> str:
    _status, answer = gateway.call("GET", "/api/v1/key", key=key)
    return answer["data"]["id"]


class Shop:
    """Asks, and adds up what the clients were told."""

    def __init__(
        self, plan: Plan, gateways: Sequence[Served], outcome: Outcome, *, key: str
    ) -> None:
        """Ask every gateway in turn with the same key."""
        self.paid_nanousd = 0
        self._plan = plan
        self._outcome = outcome
        self._targets = [Target(gateway.host, key) for gateway in gateways]

    async def spend(self) -> None:
        """Ask once, or in waves until nobody is served any more.

        Raises:
            RuntimeError: The budget has no end.
        """
        for _wave in range(MOST_WAVES):
            answers = await self._wave()
            if self._plan.ends:
                self._targets = self._targets[:1]
            self._outcome.waves += 1
            self._outcome.asked += len(answers)
            served = [answer for answer in answers if answer.status == 200]
            self._count(served)
            self._count_refusals([answer for answer in answers if answer.status != 200])
            if not (served and self._plan.in_waves):
                return
        raise RuntimeError(f"the budget of {self._plan.name} has no end: {self._outcome}")

    async def _wave(self) -> list[Answer]:
        body = {
            "model": self._plan.model,
            "max_tokens": self._plan.max_tokens,
            "messages": [{"role": "user", "content": "one thing for a fixed price, please"}],
        }
        targets = self._targets
        return await asyncio.gather(
            *[
                ask(targets[number % len(targets)], {**body, "user": f"client-{number}"})
                for number in range(self._outcome.concurrent)
            ]
        )

    def _count(self, served: Sequence[Answer]) -> None:
        costs = [int(answer.body["usage"]["cost_nanousd"]) for answer in served]
        self.paid_nanousd += sum(costs)
        self._outcome.accepted += len(served)
        self._outcome.wrong_prices += sum(cost != PRICE_NANOUSD for cost in costs)

    def _count_refusals(self, refusals: Sequence[Answer]) -> None:
        outcome = self._outcome
        for answer in refusals:
            if answer.status in (0, 503) and self._plan.ends:  # the gateway that ends
                outcome.unanswered += 1
                continue
            left = answer.body.get("error", {}).get("metadata", {}).get("left_nanousd")
            says_left = isinstance(left, int) and 0 <= left < outcome.hold_nanousd
            outcome.refused += answer.status == 402
            if answer.status != 402 or not says_left:
                outcome.wrong_refusals += 1
                mention(f"wrong refusal: {answer}")


def _judge(home: Path, account: str, outcome: Outcome, *, paid_nanousd: int | None) -> None:
    """Hold what clients were told, if all of them were told, against what is on the disk."""
    rows = audit.rows(home)
    charged_nanousd, outcome.held_nanousd = audit.committed_nanousd(home, account)
    recorded_nanousd = sum(row.charged_nanousd for row in rows)
    outcome.spent_nanousd = charged_nanousd
    outcome.billed_nanousd = sum(row.billed_nanousd for row in rows)
    outcome.left_nanousd = LIMIT_NANOUSD - charged_nanousd
    outcome.overshoot_nanousd = max(0, charged_nanousd - LIMIT_NANOUSD)
    told_nanousd = charged_nanousd if paid_nanousd is None else paid_nanousd
    outcome.difference_nanousd = (
        abs(charged_nanousd - recorded_nanousd)
        + abs(charged_nanousd - told_nanousd)
        + audit.books(home).difference_nanousd
    )


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="make budget-test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="250 clients")
    parser.add_argument("--concurrent", type=int, help="clients at once  [1000]")
    given = parser.parse_args()
    given.concurrent = given.concurrent or (250 if given.quick else 1000)
    return given


PLANS = [
    Plan(name="exact", processes=1, model=MODEL, max_tokens=TOKENS),
    Plan(name="ample", processes=1, model=MODEL, max_tokens=3 * TOKENS, in_waves=True),
    Plan(name="liar", processes=1, model=LIAR, max_tokens=TOKENS),
    Plan(name="exact", processes=2, model=MODEL, max_tokens=TOKENS),
    Plan(name="ample", processes=2, model=MODEL, max_tokens=3 * TOKENS, in_waves=True),
    Plan(name="liar", processes=2, model=LIAR, max_tokens=TOKENS),
    Plan(
        name="widowed",
        processes=2,
        model=MODEL,
        max_tokens=3 * TOKENS,
        in_waves=True,
        ends="SIGKILL",
    ),
    Plan(
        name="retired",
        processes=2,
        model=MODEL,
        max_tokens=3 * TOKENS,
        in_waves=True,
        ends="SIGTERM",
    ),
]


def main() -> None:
    """Make every run and print what came of them."""
    given = arguments()
    allow_many_connections()
    folder = Path(tempfile.mkdtemp(prefix="glasslipper-budget-"))
    progress = Progress("budget", len(PLANS) + 2)
    outcomes: list[Outcome] = []
    trees: list[TreeOutcome] = []
    try:
        for plan in PLANS:
            outcomes.append(asyncio.run(run(plan, folder, concurrent=given.concurrent)))
            progress.step(f"{plan.name}, {plan.processes} processes")
        for ends in ("", "SIGKILL"):
            concurrent = given.concurrent if ends else 2 * given.concurrent
            trees.append(
                asyncio.run(run_tree(folder, concurrent=concurrent, processes=2, ends=ends))
            )
            progress.step(f"{trees[-1].name}, 2 processes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    names = Outcome.__struct_fields__
    table(["", *[""] * len(outcomes)], [[n, *[getattr(o, n) for o in outcomes]] for n in names])
    names = TreeOutcome.__struct_fields__
    table(["", *[""] * len(trees)], [[n, *[getattr(o, n) for o in trees]] for n in names])
    (headline,) = [each for each in outcomes if (each.name, each.processes) == ("exact", 2)]
    conclude(
        {
            **structs.asdict(headline),
            "price_nanousd": PRICE_NANOUSD,
            "worst_overshoot_nanousd": max(o.overshoot_nanousd for o in [*outcomes, *trees]),
            "still_held_nanousd": sum(o.held_nanousd for o in [*outcomes, *trees]),
            "lost": sum(tree.lost for tree in trees),
            "duplicates": sum(tree.duplicates for tree in trees),
            "tree": structs.asdict(trees[0]),
            "runs": [structs.asdict(each) for each in [*outcomes, *trees]],
        }
    )


if __name__ == "__main__":
    main()
