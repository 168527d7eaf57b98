"""Kills a gateway under streaming load, again and again, and looks for what was lost.

For each durability one home lives through the whole run. A round starts clients whose answers
stream, kills the gateway with SIGKILL at a random moment, reads the journal to see what was
under way, starts the gateway again on the same home, and waits for every hold to be given back.
At the end three independent accounts must agree: what the clients saw, what the upstream process
logged, and what lies on the disk, read without the product's code.

    make crash-test                      # 100 kills at each durability
    make crash-test ARGS="--quick"       # 5 at each

The keys of the last line, besides `kills` and `durability`:

    kills_between_intent_and_settle  share of the kills (0 to 1) after which the journal held at
                                     least one intent without its generation
    acknowledged                     answers that a client saw to their end: usage and [DONE]
    lost                             calls that the upstream logged, and acknowledged answers,
                                     that no generation tells of
    duplicates                       ids of generations or attempts, and requests, that are
                                     recorded more than once
    difference_nanousd               counters against generations, summed over every account; the
                                     worst of all rounds
    orphans_after_5s                 holds that were still there 5 s after a restart began
    stopped_cut                      answers that had begun and that SIGTERM cut off
    levels                           the same and more for each durability
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field, structs

import audit
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from load import Seen, Target, stream
from outcome import Progress, conclude, mention, table

CLIENTS = 8
GAP_MS = 8
ORPHANS_WITHIN_S = 5.0
LOAD_S = (0.15, 0.9)
"""After how long under load the gateway is killed, at least and at most."""

PROMPT_TOKENS, IN_NANOUSD, OUT_NANOUSD = 10, 1_000, 2_000
"""What the upstream says about each prompt, and the price of one token in nano-USD."""

TOKENS = {"crash/short": 20, "crash/middle": 40, "crash/long": 60, "crash/broken": 40}
"""The pieces of each model's answer."""

SCRIPTS = {
    **{name: f"fake?tokens={tokens}&gap_ms={GAP_MS}" for name, tokens in TOKENS.items()},
    "crash/broken": f"fake?tokens=40&gap_ms={GAP_MS}&fault=cut&after=12",
    "crash/refused": "fake?status=500",
}
WEIGHTS = {
    "crash/short": 4,
    "crash/middle": 6,
    "crash/long": 6,
    "crash/broken": 2,
    "crash/refused": 1,
}
"""How often each model is asked, against the others."""


class Tally(Struct, kw_only=True):
    """What one durability came to."""

    kills: int = 0
    kills_mid_exchange: int = 0
    kills_while_starting: int = 0
    stops: int = 0
    stopped_cut: int = 0
    stop_statuses: list[int] = field(default_factory=list[int])
    asked: int = 0
    seen: dict[str, int] = field(default_factory=dict[str, int])
    acknowledged: int = 0
    upstream_calls: int = 0
    generations: int = 0
    recovered: int = 0
    lost: int = 0
    duplicates: int = 0
    left_open: int = 0
    difference_nanousd: int = 0
    difference_generations: int = 0
    orphans_after_5s: int = 0
    restart_s_max: float = 0.0
    release_s_max: float = 0.0
    wrong_costs: int = 0
    undercounted: int = 0
    above_hold: int = 0
    spent_nanousd: int = 0
    log_errors: int = 0


class Load:
    """Clients that ask for one answer after the other until they are told to stop."""

    def __init__(self, targets: Sequence[Target], *, chance: random.Random, prefix: str) -> None:
        """Ask as one of `targets` each time; tags begin with `prefix`."""
        self.seen: list[Seen] = []
        self._targets = targets
        self._chance = chance
        self._prefix = prefix
        self._asked = 0
        self._going = True
        self._tasks = [asyncio.create_task(self._client()) for _ in range(CLIENTS)]

    async def _client(self) -> None:
        chance = self._chance
        while self._going:
            self._asked += 1
            model = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            body: dict[str, object] = {
                "model": model,
                "messages": [{"role": "user", "content": "tell me " * chance.randint(1, 40)}],
            }
            if chance.random() < 0.8:
                body["max_tokens"] = 100
            seen = await stream(
                chance.choice(self._targets),
                body,
                tag=f"{self._prefix}-{self._asked}",
                leave_after=chance.randint(1, 15) if chance.random() < 0.1 else None,
            )
            self.seen.append(seen)
            if seen.status in (0, 503):  # killed, or about to end
                return

    async def stop(self) -> list[Seen]:
        """Ask no more; return what was seen once every client is done."""
        self._going = False
        await asyncio.gather(*self._tasks)
        return self.seen


class Campaign:
    """All rounds at one durability, on one home."""

    def __init__(self, folder: Path, durability: str, *, seed: int) -> None:
        """Keep everything in `folder`."""
        self.tally = Tally()
        self.home = folder / durability
        self.log = folder / f"{durability}.log"
        self._durability = durability
        self._chance = random.Random(seed)
        self._environ = {"GLASSLIPPER_MODELS": str(folder / "no-models")}
        self._gateway = Served(
            self.home, "--durability", durability, environ=self._environ, log=self.log
        )
        self._upstream = FakeUpstream(log=folder / f"{durability}-upstream.jsonl")
        self._follower = audit.Follower(self.home)
        self._keys: list[str] = []
        self._seen: list[Seen] = []
        self._stopped: list[Seen] = []

    async def run(self, kills: int, stops: int) -> Tally:
        """Do everything; return what it came to."""
        progress = Progress(f"{self._durability:8}", kills + stops)
        with self._upstream:
            try:
                self._prepare()
                for number in range(kills):
                    await self._kill_round(number)
                    progress.step(f"{len(self._seen)} asked")
                for number in range(stops):
                    await self._stop_round(number)
                    progress.step(f"{len(self._seen)} asked")
            finally:
                self._gateway.stop()
            self._upstream.stop()
            self._judge()
        return self.tally

    def _prepare(self) -> None:
        gateway = self._gateway.start()
        for model, script in SCRIPTS.items():
            gateway.add_model(model, self._upstream.url, upstream_model=script)
        budgeted = gateway.make_key("budgeted", limit_nanousd=10**12)
        self._keys = [budgeted, budgeted, gateway.make_key("free")]
        status, session = gateway.call(
            "POST",
            "/api/v1/key/sessions",
            {"ttl_s": 86_400, "limit_nanousd": 10**11},
            key=budgeted,
        )
        if status != 201:
            raise RuntimeError(f"making a session key failed: {session}")
        self._keys.append(session["key"])

    def _load(self, prefix: str) -> Load:
        targets = [Target(self._gateway.host, key) for key in self._keys]
        return Load(targets, chance=self._chance, prefix=f"{self._durability}-{prefix}")

    # one round

    async def _kill_round(self, number: int) -> None:
        load = self._load(f"kill{number}")
        await asyncio.sleep(self._chance.uniform(*LOAD_S))
        self._gateway.kill()
        self._seen += await load.stop()
        self._follower.read()
        self.tally.kills += 1
        self.tally.kills_mid_exchange += self._follower.open_exchanges > 0
        if number % 5 == 4:
            self._kill_while_starting()
        await self._restart()

    async def _stop_round(self, number: int) -> None:
        load = self._load(f"stop{number}")
        await asyncio.sleep(self._chance.uniform(*LOAD_S))
        status = await asyncio.to_thread(self._gateway.stop)
        seen = await load.stop()
        self._seen += seen
        self._follower.read()
        self._stopped += seen
        self.tally.stops += 1
        self.tally.stop_statuses.append(status)
        await self._restart()

    def _kill_while_starting(self) -> None:
        """Begin a start, which recovers, and kill that too, at any moment of it."""
        command = [sys.executable, "-m", "glasslipper", "up", "--port", "0", "--no-fetch"]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*command, "--durability", self._durability],
                env={**os.environ, **self._environ, "GLASSLIPPER_HOME": str(self.home)},
                stdout=log,
                stderr=log,
            )
        time.sleep(self._chance.uniform(0.2, 1.0) * max(self.tally.restart_s_max, 0.5))
        process.kill()
        process.wait()
        self.tally.kills_while_starting += 1

    async def _restart(self) -> None:
        tally, began_s = self.tally, time.monotonic()
        self._gateway.start()
        tally.restart_s_max = max(tally.restart_s_max, time.monotonic() - began_s)
        while (held := audit.holds(self.home)) and time.monotonic() - began_s < ORPHANS_WITHIN_S:
            await asyncio.sleep(0.01)
        tally.release_s_max = max(tally.release_s_max, time.monotonic() - began_s)
        tally.orphans_after_5s += len(held)
        self._compare_books()

    def _compare_books(self) -> None:
        tally, books = self.tally, audit.books(self.home)
        tally.difference_nanousd = max(tally.difference_nanousd, books.difference_nanousd)
        tally.difference_generations = max(
            tally.difference_generations, books.difference_generations
        )

    # the end

    def _judge(self) -> None:
        """Hold clients, upstream and disk side by side."""
        tally = self.tally
        self._follower.read()
        self._compare_books()
        rows = audit.rows(self.home)
        by_id = {row.id: row for row in rows}
        tally.generations = len(rows)
        tally.recovered = sum(row.status == "unknown" for row in rows)
        tally.spent_nanousd = sum(row.charged_nanousd for row in rows)
        tally.left_open = self._follower.open_exchanges
        tally.asked = len(self._seen)
        tally.seen = Counter(f"{one.ending} {one.status}" for one in self._seen)
        self._judge_ids(rows)
        for seen in self._seen:
            self._judge_seen(seen, by_id.get(seen.id or ""))
        begun = {row.user for row in rows}
        for seen in self._stopped:
            if seen.ending == "cut" and seen.tag in begun:
                tally.stopped_cut += 1
                mention(f"cut by SIGTERM: {seen}")
        tally.above_hold = sum(0 < row.held_nanousd < row.charged_nanousd for row in rows)
        tally.log_errors = self._errors_in_log()

    def _judge_ids(self, rows: Sequence[audit.Row]) -> None:
        """Find what the upstream served and nobody recorded, and what is recorded twice."""
        tally, follower = self.tally, self._follower
        in_tables = audit.attempts(self.home)
        served = Counter(str(call["request_id"]) for call in self._upstream.calls())
        tally.upstream_calls = served.total()
        for missing in served.keys() - in_tables.keys():
            tally.lost += 1
            mention(f"lost: the upstream served {missing}, which is no attempt of a generation")
        for what, counts in (
            ("generation in the tables", Counter(row.id for row in rows)),
            ("attempt in the tables", in_tables),
            ("request", Counter(row.user for row in rows)),
            ("generation in the journals", follower.generations),
            ("attempt in the journals", follower.settled_attempts),
            ("intent in the journals", follower.intents),
            ("call of the upstream", served),
        ):
            for name, times in counts.items():
                if times > 1:
                    tally.duplicates += 1
                    mention(f"duplicate: {what} {name} is there {times} times")

    def _judge_seen(self, seen: Seen, row: audit.Row | None) -> None:
        tally = self.tally
        if seen.ending == "done":
            tally.acknowledged += 1
            tokens = TOKENS[seen.model]
            expected_nanousd = PROMPT_TOKENS * IN_NANOUSD + tokens * OUT_NANOUSD
            if row is not None and not (
                seen.cost_nanousd == row.charged_nanousd == row.billed_nanousd == expected_nanousd
            ):
                tally.wrong_costs += 1
                mention(f"wrong cost: {seen} against {row}, expected {expected_nanousd}")
        if row is None:
            if seen.id:
                tally.lost += 1
                mention(f"lost: a client saw {seen}, which no generation tells of")
        elif row.status == "unknown" and row.output_units < seen.text_bytes:
            tally.undercounted += 1
            mention(f"undercounted: a client saw {seen}, recorded was {row}")

    def _errors_in_log(self) -> int:
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        wrong = [line for line in text.splitlines() if "ERROR" in line or "Traceback" in line]
        for line in wrong[:10]:
            mention(f"the log of the gateway says: {line}")
        return len(wrong)


def figures(tallies: dict[str, Tally]) -> dict[str, object]:
    """Return the figures of the last line."""
    everything = list(tallies.values())

    def total(name: str) -> int:
        return sum(getattr(tally, name) for tally in everything)

    kills = total("kills")
    return {
        "durability": list(tallies),
        "kills": kills,
        "kills_between_intent_and_settle": round(total("kills_mid_exchange") / max(kills, 1), 4),
        **{
            name: total(name)
            for name in (
                "acknowledged",
                "lost",
                "duplicates",
                "difference_nanousd",
                "orphans_after_5s",
                "kills_while_starting",
                "stops",
                "stopped_cut",
                "asked",
                "upstream_calls",
                "generations",
                "wrong_costs",
                "undercounted",
                "above_hold",
                "left_open",
                "log_errors",
            )
        },
        "levels": {name: structs.asdict(tally) for name, tally in tallies.items()},
    }


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="make crash-test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="5 kills at each durability")
    parser.add_argument("--kills", type=int, help="kills at each durability  [100]")
    parser.add_argument("--stops", type=int, help="SIGTERMs at each durability  [10]")
    parser.add_argument("--durability", choices=["process", "power"], help="only this one")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of all chance")
    parser.add_argument("--keep", type=Path, help="keep homes and logs in this new folder")
    given = parser.parse_args()
    given.kills = given.kills or (5 if given.quick else 100)
    given.stops = given.stops or (1 if given.quick else 10)
    return given


def main() -> None:
    """Run the campaigns and print what they came to."""
    given = arguments()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="glasslipper-crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    mention(f"seed {given.seed}, files in {folder}")
    levels = [given.durability] if given.durability else ["process", "power"]
    try:
        tallies = {
            level: asyncio.run(
                Campaign(folder, level, seed=given.seed).run(given.kills, given.stops)
            )
            for level in levels
        }
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    names = [name for name in Tally.__struct_fields__ if name not in ("seen", "stop_statuses")]
    table(
        ["", *tallies],
        [[name, *[round(getattr(each, name), 3) for each in tallies.values()]] for name in names],
    )
    conclude({**figures(tallies), "seed": given.seed})


if __name__ == "__main__":
    main()
