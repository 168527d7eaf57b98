"""Spends a whole tree of budgets at providers that fail, lie and overcharge, and counts.

The tree is organisation → workspace → two projects → four keys → eight sessions, each with a
limit, so tight that at every level some account is the one that binds. Clients of two gateways
ask with all eight sessions at once, whole and streamed, for models that answer well, fail in
every way that a provider can, lie about their usage, or state a cost far above the hold; and go
on until no session can pay for one more good answer.

Whatever the upstream did: no account may ever be charged or hold more than its limit, no call
that the upstream has seen may lack its record or have two, and nothing may stay held. Then the
good answers alone must have been able to use up what the organisation could spend.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

import audit
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from load import Answer, Target, ask, stream

DIME_NANOUSD = 10**8
"""What a good answer costs, and what each request holds."""

TOKENS = 100
OUT_USD = "1000"
GOOD = "tree/good"
PROJECTS = KEYS = SESSIONS = 2
LIMITS = {
    "organisation": 45 * DIME_NANOUSD,
    "workspace": 48 * DIME_NANOUSD,
    "project": 25 * DIME_NANOUSD,
    "key": 13 * DIME_NANOUSD,
    "session": 7 * DIME_NANOUSD,
}
"""Two of each level may spend more than the level above lets them."""

_BASE = f"fake?tokens={TOKENS}&prompt_tokens=0"
STATUSES = (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504, 529)
SCRIPTS: dict[str, str] = {
    GOOD: f"{_BASE}&delay_ms=20",
    **{f"tree/status-{status}": f"{_BASE}&status={status}" for status in STATUSES},
    "tree/retry-after": f"{_BASE}&status=429&retry_after=1",
    "tree/refuse": f"{_BASE}&fault=refuse",
    "tree/reset": f"{_BASE}&fault=reset&after=2",
    **{f"tree/cut-{after}": f"{_BASE}&fault=cut&after={after}" for after in (0, 1, 3)},
    **{f"tree/end-{after}": f"{_BASE}&fault=end&after={after}" for after in (0, 1, 3)},
    **{f"tree/rubbish-{n}": f"{_BASE}&fault=malformed_json&after={n}" for n in (0, 1, 3)},
    **{f"tree/stall-{after}": f"{_BASE}&fault=stall&after={after}" for after in (0, 2)},
    "tree/no-http": f"{_BASE}&fault=malformed_http&after=1",
    "tree/wrong-length": f"{_BASE}&fault=wrong_length",
    "tree/error-event": f"{_BASE}&fault=error_event&after=2",
    "tree/no-done": f"{_BASE}&fault=no_done",
    "tree/slow": f"{_BASE}&delay_ms=300",
    "tree/slow-first": f"{_BASE}&first_ms=300",
    "tree/bad-tool": f"{_BASE}&tool=f&arguments=no",
    "tree/huge": f"{_BASE}&fault=huge_frame&huge_bytes=300000",
    "tree/no-usage": f"{_BASE}&usage=missing",
    "tree/lies-more": f"{_BASE}&completion_tokens=100000",
    "tree/lies-less": f"{_BASE}&completion_tokens=1",
    "tree/lies-negative": f"{_BASE}&completion_tokens=-100000",
    "tree/lies-prompt": f"{_BASE}&cached_tokens=99999",
    "tree/above-hold": f"{_BASE}&cost=0.25",
    "tree/far-above-hold": f"{_BASE}&cost=900000",
    "tree/states-nothing": f"{_BASE}&cost=0",
    "tree/states-less-than-nothing": f"{_BASE}&cost=-5",
}
SILENCE_S = "1"
MOST_WAVES = 60


class TreeOutcome(Struct, kw_only=True):
    """What the run came to; money in nano-USD.

    overshoot_nanousd: The most that any account was seen above its limit, holds included.
    above_hold: Answers for which the provider billed more than was held; `charged_above_hold`
        are those that a budget paid in full all the same.
    difference_nanousd: Counters, records and what clients were told, against each other.
    lost, duplicates: Calls that the upstream saw and nobody recorded, or recorded twice.
    left_for_good_nanousd: What the organisation has left that a good answer could have cost.
    ways_met: Models, each failing or lying in its way, that the upstream was asked for.
    """

    name: str
    processes: int
    concurrent: int
    limit_nanousd: int = LIMITS["organisation"]
    accounts: int = 0
    models: int = 0
    waves: int = 0
    asked: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    unanswered: int = 0
    spent_nanousd: int = 0
    billed_nanousd: int = 0
    overshoot_nanousd: int = 0
    most_committed_nanousd: int = 0
    looks: int = 0
    held_nanousd: int = 0
    above_hold: int = 0
    charged_above_hold: int = 0
    difference_nanousd: int = 0
    upstream_calls: int = 0
    lost: int = 0
    duplicates: int = 0
    left_for_good_nanousd: int = 0
    ways_met: int = 0


class _Watch:
    """Reads every account from the disk, again and again."""

    def __init__(self, home: Path, limits: Mapping[str, int]) -> None:
        self.worst_nanousd = 0
        self.most_nanousd = 0
        self.looks = 0
        self._home, self._limits = home, limits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._over.wait(0.01):
            found = audit.all_committed_nanousd(self._home)
            for account, limit in self._limits.items():
                committed = sum(found.get(account, (0, 0)))
                self.worst_nanousd = max(self.worst_nanousd, committed - limit)
            organisation = sum(found.get("org-default", (0, 0)))
            self.most_nanousd = max(self.most_nanousd, organisation)
            self.looks += 1

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


async def run_tree(
    folder: Path, *, concurrent: int, processes: int, ends: Literal["", "SIGKILL"] = ""
) -> TreeOutcome:
    """Spend a fresh tree; return what came of it.

    Raises:
        RuntimeError: The budgets have no end.
    """
    name = "tree, widowed" if ends else "tree"
    home = folder / f"tree-{processes}{'-widowed' if ends else ''}"
    outcome = TreeOutcome(
        name=name, processes=processes, concurrent=concurrent, models=len(SCRIPTS)
    )
    with ExitStack() as stack:
        upstream = stack.enter_context(FakeUpstream())
        gateways = [_served(stack, home)]
        for model, script in SCRIPTS.items():
            gateways[0].add_model(
                model, upstream.url, upstream_model=script, price_in="0", price_out=OUT_USD
            )
        limits, sessions = _plant(gateways[0])
        outcome.accounts = len(limits)
        gateways += [_served(stack, home) for _ in range(processes - 1)]
        watch = _Watch(home, limits)
        stack.callback(watch.stop)
        clients = _Clients(gateways, sessions, outcome)
        ending = asyncio.create_task(_kill(gateways[-1], upstream)) if ends else None
        await clients.spend()
        if ending is not None:
            await ending
            clients.keep(gateways[:-1])
        await clients.spend_what_is_left()
        watch.stop()
        calls = upstream.calls()
        for gateway in gateways:
            gateway.stop()
    outcome.looks, outcome.most_committed_nanousd = watch.looks, watch.most_nanousd
    _judge(home, limits, calls, outcome, worst_nanousd=watch.worst_nanousd)
    if not ends:
        outcome.difference_nanousd += clients.misled_nanousd(home)
    return outcome


async def _kill(gateway: Served, upstream: FakeUpstream) -> None:
    while len(upstream.calls()) < len(SCRIPTS):
        await asyncio.sleep(0.01)
    await asyncio.to_thread(gateway.kill)


def _served(stack: ExitStack, home: Path) -> Served:
    environ = {
        "GLASSLIPPER_MODELS": str(home.parent / "no-models"),
        "GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": SILENCE_S,
        "GLASSLIPPER_FIRST_BYTE_TIMEOUT_S": "5",
    }
    return stack.enter_context(Served(home, environ=environ, log=home.parent / "gateways.log"))


def _plant(gateway: Served) -> tuple[dict[str, int], list[str]]:
    """Make the tree; return the limit of each account, and the secrets of the sessions."""
    limits: dict[str, int] = {}

    def limit(kind: str) -> dict[str, Any]:
        return {"limit_nanousd": LIMITS[kind]}

    _call(gateway, "PATCH", "admin/accounts/org-default", limit("organisation"))
    limits["org-default"] = LIMITS["organisation"]
    workspace = _call(
        gateway, "POST", "admin/accounts", {"kind": "workspace", "name": "w", **limit("workspace")}
    )["data"]["id"]
    limits[workspace] = LIMITS["workspace"]
    secrets: list[str] = []
    for _ in range(PROJECTS):
        wish = {"kind": "project", "name": "p", "parent": workspace, **limit("project")}
        project = _call(gateway, "POST", "admin/accounts", wish)["data"]["id"]
        limits[project] = LIMITS["project"]
        for _ in range(KEYS):
            made = _call(gateway, "POST", "keys", {"name": "k", "parent": project, **limit("key")})
            limits[made["data"]["id"]] = LIMITS["key"]
            for _ in range(SESSIONS):
                wish = {"ttl_s": 3600, **limit("session")}
                status, session = gateway.call(
                    "POST", "/api/v1/key/sessions", wish, key=made["key"]
                )
                if status != 201:
                    raise RuntimeError(f"making a session failed: {session}")
                limits[session["data"]["id"]] = LIMITS["session"]
                secrets.append(session["key"])
    return limits, secrets


def _call(gateway: Served, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    status, answer = gateway.call(method, f"/api/v1/{path}", body)
    if status not in (200, 201):
        raise RuntimeError(f"{method} {path} failed: {answer}")
    return answer


class _Clients:
    """Ask with every session, and remember what they were told."""

    def __init__(
        self, gateways: Sequence[Served], sessions: Sequence[str], outcome: TreeOutcome
    ) -> None:
        self._sessions = sessions
        self._outcome = outcome
        self._told: dict[str, int] = {}
        self._number = 0
        self.keep(gateways)

    def keep(self, gateways: Sequence[Served]) -> None:
        """Ask only these from now on."""
        self._targets = [
            [Target(gateway.host, key) for gateway in gateways] for key in self._sessions
        ]

    async def spend(self) -> None:
        """Ask for every model in waves, until a wave in which nobody paid for anything.

        Raises:
            RuntimeError: The budgets have no end.
        """
        models = list(SCRIPTS)
        for _wave in range(MOST_WAVES):
            self._outcome.waves += 1
            paid = await asyncio.gather(
                *[
                    self._one(
                        models[number % len(models)], streamed=bool(number // len(models) % 2)
                    )
                    for number in range(self._outcome.concurrent)
                ]
            )
            if not any(paid):
                return
        raise RuntimeError(f"the budgets have no end: {self._outcome}")

    async def spend_what_is_left(self) -> None:
        """Ask for good answers one after another, with each session until it is refused."""
        for place in range(len(self._sessions)):
            while await self._one(GOOD, streamed=False, place=place):
                pass

    async def _one(self, model: str, *, streamed: bool, place: int | None = None) -> bool:
        """Ask once; tell whether anything was paid."""
        number, self._number = self._number, self._number + 1
        targets = self._targets[number % len(self._targets) if place is None else place]
        target = targets[number // len(self._targets) % len(targets)]
        body = {
            "model": model,
            "max_tokens": TOKENS,
            "messages": [{"role": "user", "content": "one thing, please"}],
        }
        self._outcome.asked += 1
        if streamed:
            return self._streamed(await stream(target, body, tag=f"client-{number}"))
        return self._whole(await ask(target, body))

    def _whole(self, answer: Answer) -> bool:
        if answer.status == 200:
            return self._paid(answer.body["id"], answer.body["usage"]["cost_nanousd"])
        self._note(answer.status)
        return False

    def _streamed(self, seen: Any) -> bool:
        if seen.ending == "done":
            return self._paid(seen.id, seen.cost_nanousd)
        self._note(seen.status)
        return False

    def _paid(self, name: str, cost_nanousd: int) -> bool:
        self._outcome.accepted += 1
        self._told[name] = cost_nanousd
        return cost_nanousd > 0

    def _note(self, status: int) -> None:
        if status == 402:
            self._outcome.refused += 1
        elif status == 0:
            self._outcome.unanswered += 1
        else:
            self._outcome.failed += 1

    def misled_nanousd(self, home: Path) -> int:
        """Return by how much the records differ from what clients were told they paid."""
        kept = {row.id: row.charged_nanousd for row in audit.rows(home)}
        return sum(abs(kept.get(name, 0) - cost) for name, cost in self._told.items())


def _judge(
    home: Path,
    limits: Mapping[str, int],
    calls: Sequence[Mapping[str, Any]],
    outcome: TreeOutcome,
    *,
    worst_nanousd: int,
) -> None:
    rows = audit.rows(home)
    found = audit.all_committed_nanousd(home)
    over = [found.get(account, (0, 0))[0] - limit for account, limit in limits.items()]
    outcome.overshoot_nanousd = max(0, worst_nanousd, *over)
    outcome.spent_nanousd, _ = found["org-default"]
    outcome.held_nanousd = sum(audit.holds(home))
    outcome.billed_nanousd = sum(row.billed_nanousd for row in rows)
    outcome.above_hold = sum(row.billed_nanousd > row.held_nanousd for row in rows)
    outcome.charged_above_hold = sum(row.charged_nanousd > row.held_nanousd for row in rows)
    outcome.difference_nanousd = audit.books(home).difference_nanousd + abs(
        outcome.spent_nanousd - sum(row.charged_nanousd for row in rows)
    )
    recorded = audit.attempts(home)
    served = Counter(call["request_id"] for call in calls if "request_id" in call)
    outcome.upstream_calls = sum(served.values())
    outcome.lost = sum(1 for name in served if not recorded[name])
    outcome.duplicates = sum(count - 1 for count in recorded.values())
    outcome.ways_met = len({call["model"] for call in calls if "model" in call})
    outcome.left_for_good_nanousd = _left(limits, found)


def _left(limits: Mapping[str, int], found: Mapping[str, tuple[int, int]]) -> int:
    """Return what the organisation has left that a good answer could still have cost."""
    left = limits["org-default"] - found["org-default"][0]
    return left if left >= DIME_NANOUSD else 0
