"""Measures the ledger by itself: what recording costs, how small it seals, what a kill takes.

    make bench-ledger                    # 240 kills, 30 s of steady load
    make bench-ledger ARGS="--quick"     # 30 kills, 6 s

A request is what a gateway does for one: an intent and a generation appended to the journal of
its process, copied into tables and added to counters. Its CPU is that of the recording calls, by
their thread's own clock, and all of the other threads; making the two records is the gateway's
work. The keys of the last line:

    durable_requests_per_s    steady load, as asked for and kept up
    core_share                CPU of the recording process (all threads), of one core, at that load
    core_share_with_sealing   the same with the sealing of those very rows
    added_ms                  intend + settle, of single requests: p50 and p99
    burst_rows_per_s          generations acknowledged a second, without a pause
    bytes_per_sealed_row      generations and attempts; other tables of a segment a row of theirs:
    bytes_per_candidate, rollup_bytes_per_row
    kills, lost, duplicates   SIGKILLs at random moments to recorders and sealers; acknowledged
                              generations that nobody can read any more; ids that are read twice
    kills_of_recorders, kills_of_sealers, kills_while_sealing (a segment in the staging area)
    acknowledged, segments, difference_nanousd (counters against rows, in the end)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import resource
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from glasslipper.kernel.record import Generation, Intent
from glasslipper.ledger.lake import segments
from glasslipper.ledger.read.scan import Lake
from glasslipper.ledger.read.verify import verify
from glasslipper.ledger.write import Ledger, seal
from ledger_rows import Traffic, make_account
from outcome import Progress, conclude, mention, table

RATE = 5_100
TICK_S = 0.002
BURST_ROWS = 60_000
WINDOW = seal.When(rows=200_000, after_ms=10**12, leave_ms=0)
SMALL_WINDOW = seal.When(rows=150, after_ms=0, leave_ms=0)
CHECK_EVERY = 10
"""Kills between two looks at what is left."""


class Plan(Struct, frozen=True, kw_only=True):
    """How long and how often."""

    steady_s: float
    kills: int


FULL = Plan(steady_s=30.0, kills=240)
QUICK = Plan(steady_s=6.0, kills=30)


def main() -> None:
    """Run every part and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the ledger by itself.")
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--kills", type=int, default=None, help="how many")
    parser.add_argument("--seed", type=int, default=None, help="of the moments of the kills")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    if options.kills is not None:
        plan = structs.replace(plan, kills=options.kills)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    loads = [os.getloadavg()[0]]
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as folder:
        figures |= measure_cost(Path(folder) / "cost", plan)
        loads.append(os.getloadavg()[0])
        figures |= crash(Path(folder) / "crash", plan, random.Random(seed))
    loads.append(os.getloadavg()[0])
    conclude({**figures, "seed": seed, "load_average": [round(one, 1) for one in loads]})


# What it costs


def measure_cost(home: Path, plan: Plan) -> dict[str, object]:
    """Record at a steady rate, then in a burst; seal all of it and look at its size."""
    rows = int(plan.steady_s * RATE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the server does
    with Ledger(home) as ledger:
        traffic = Traffic(make_account(ledger), random.Random(1))
        steady = asyncio.run(_steady(ledger, traffic, rows))
        burst = asyncio.run(_burst(ledger, traffic))
        delays = asyncio.run(_delays(ledger, traffic))
    before = _children_cpu_s()
    made = _sealed_by_a_child(home)
    sealing_us = (_children_cpu_s() - before) / (rows + BURST_ROWS) * 1e6
    sizes = _sizes(made)
    share = steady.cpu_s / steady.wall_s
    mention(f"sealing takes {sealing_us:.1f} us of CPU a row")
    return {
        "durable_requests_per_s": round(rows / steady.wall_s),
        "core_share": round(share, 3),
        "core_share_with_sealing": round(share + sealing_us * 1e-6 * rows / steady.wall_s, 3),
        "cpu_us_per_request": round(steady.cpu_s / rows * 1e6, 1),
        "sealing_cpu_us_per_row": round(sealing_us, 1),
        "added_ms": {
            "p50": round(statistics.median(delays) * 1e3, 3),
            "p99": round(statistics.quantiles(delays, n=100)[98] * 1e3, 3),
        },
        "burst_rows_per_s": round(burst),
        **sizes,
    }


class _Steady(Struct):
    """What a steady load took: wall time, and the CPU of recording, in all threads."""

    wall_s: float
    cpu_s: float


async def _steady(ledger: Ledger, traffic: Traffic, rows: int) -> _Steady:
    progress = Progress("steady load", rows // RATE)
    done = 0
    others_s = time.process_time() - time.thread_time()
    recording_s, began_s = 0.0, time.perf_counter()
    while done < rows:
        due = min(int((time.perf_counter() - began_s) * RATE) + 1, rows) - done
        pairs = [traffic.pair(ledger.clock.now_ms()) for _ in range(due)]
        turn_s = time.thread_time()
        for intent, generation in pairs:
            await _record(ledger, intent, generation)
        recording_s += time.thread_time() - turn_s
        if (done + due) // RATE > done // RATE:
            progress.step()
        done += due
        await asyncio.sleep(TICK_S)
    wall_s = time.perf_counter() - began_s
    await ledger.flush()
    others_s = time.process_time() - time.thread_time() - others_s
    return _Steady(wall_s, recording_s + others_s)


async def _burst(ledger: Ledger, traffic: Traffic) -> float:
    """Return the generations acknowledged a second, from records that are ready."""
    took_s = 0.0
    for _ in range(BURST_ROWS // 5_000):
        pairs = [traffic.pair(ledger.clock.now_ms()) for _ in range(5_000)]
        began_s = time.perf_counter()
        for intent, generation in pairs:
            await _record(ledger, intent, generation)
        took_s += time.perf_counter() - began_s
    await ledger.flush()
    return BURST_ROWS / took_s


async def _delays(ledger: Ledger, traffic: Traffic) -> list[float]:
    """Return how long single requests wait for their records, in seconds."""
    delays: list[float] = []
    for _ in range(2_000):
        intent, generation = traffic.pair(ledger.clock.now_ms())
        began_s = time.perf_counter()
        await _record(ledger, intent, generation)
        delays.append(time.perf_counter() - began_s)
        await asyncio.sleep(0.0002)
    await ledger.flush()
    return delays


async def _record(ledger: Ledger, intent: Intent, generation: Generation) -> None:
    recorder = ledger.recorder
    cell = recorder.take_cell()
    await recorder.intend(intent)
    await recorder.settle(generation)
    recorder.give_cell(cell)


def _sealed_by_a_child(home: Path) -> list[segments.Segment]:
    """Seal everything as a server would: in a process of its own."""
    when = f"{WINDOW.rows},0,0"
    command = [sys.executable, "-m", "glasslipper.ledger.write.sealing", str(home), when]
    subprocess.run(command, check=True)
    return segments.found_in(home)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sizes(made: list[segments.Segment]) -> dict[str, object]:
    rows: dict[str, int] = {}
    size: dict[str, int] = {}
    for one in made:
        for name, file in one.manifest.files.items():
            rows[name] = rows.get(name, 0) + file.rows
            size[name] = size.get(name, 0) + file.size_bytes
    table(
        ("table", "rows", "bytes", "bytes a generation"),
        [
            (name, rows[name], size[name], f"{size[name] / rows['generations']:.2f}")
            for name in size
        ],
    )
    whole = size["generations"] + size["attempts"]
    sums = sum(size[name] for name in size if name.endswith(("_daily", "_weekly")))
    return {
        "bytes_per_sealed_row": round(whole / rows["generations"], 1),
        "bytes_per_candidate": round(size["candidates"] / max(rows["candidates"], 1), 1),
        "candidate_bytes_per_row": round(size["candidates"] / rows["generations"], 1),
        "rollup_bytes_per_row": round(sums / rows["generations"], 2),
        "sealed_rows": rows["generations"],
    }


# What a kill takes


class _Tally(Struct):
    """What the kills came to."""

    recorders: int = 0
    sealers: int = 0
    mid_seal: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    wrong_sums: int = 0


def crash(home: Path, plan: Plan, chance: random.Random) -> dict[str, object]:
    """Kill recorders and sealers of one home at random moments; look for what they acknowledged.

    A round lets one recorder and one sealer run on the home; one of the two, or both, are killed.
    """
    with Ledger(home) as ledger:
        make_account(ledger)
    tally, acknowledged = _Tally(), dict[str, int]()
    progress = Progress("kills", plan.kills)
    kills = 0
    while kills < plan.kills:
        kills_now = _round(home, chance, tally, acknowledged)
        for _ in range(kills_now):
            progress.step(f"{len(acknowledged)} acknowledged, {tally.lost} lost")
        if kills // CHECK_EVERY != (kills + kills_now) // CHECK_EVERY:
            _look(home, acknowledged, tally)
        kills += kills_now
    with Ledger(home):
        pass  # closes what the last kill left open
    seal.seal(home, seal.NOW, owner="bench")
    _look(home, acknowledged, tally)
    verdict = verify(home)
    for one in (*verdict.damages, *verdict.differences[:5]):
        mention(f"differs: {one}")
    difference = sum(
        abs(one.counted.charged_nanousd - one.recorded.charged_nanousd)
        for one in verdict.differences
    )
    return {
        "kills": kills,
        "lost": tally.lost,
        "duplicates": tally.duplicates,
        "wrong_charges": tally.wrong_sums,
        "difference_nanousd": difference,
        "damaged_files": len(verdict.damages),
        "kills_of_recorders": tally.recorders,
        "kills_of_sealers": tally.sealers,
        "kills_while_sealing": tally.mid_seal,
        "acknowledged": len(acknowledged),
        "generations": verdict.generations,
        "segments": verdict.segments,
    }


def _round(home: Path, chance: random.Random, tally: _Tally, acknowledged: dict[str, int]) -> int:
    """Let both run, kill, and take in what had been acknowledged; return how many were killed."""
    reading, writing = os.pipe()
    recorder = _fork(lambda: _record_until_killed(home, writing, chance.random()), reading)
    os.close(writing)
    sealer = _fork(lambda: _seal_until_killed(home), reading)
    select.select([reading], [], [], 20)  # both are at work from the first acknowledgement on
    pulled = _pull(reading, chance.uniform(0.0, 0.6))
    victims = chance.choice([(recorder,), (sealer,), (recorder, sealer)])
    if sealer in victims and any((home / segments.LAKE / segments.STAGING).glob("w-*")):
        tally.mid_seal += 1
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    tally.recorders += recorder in victims
    tally.sealers += sealer in victims
    for other in {recorder, sealer}.difference(victims):
        time.sleep(chance.uniform(0, 0.05))
        os.kill(other, signal.SIGTERM)
    os.waitpid(recorder, 0)
    os.waitpid(sealer, 0)
    pulled += _pull(reading, None)
    os.close(reading)
    for line in pulled[: pulled.rfind(b"\n") + 1].split():
        identifier, _, charged = line.partition(b"=")
        acknowledged[identifier.decode()] = int(charged)
    return len(victims)


def _fork(work: Callable[[], None], unused: int) -> int:
    child = os.fork()
    if child:
        return child
    os.close(unused)
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def _record_until_killed(home: Path, acknowledge: int, seed: float) -> None:
    """Record exchanges, several at once, and say so of each once it is acknowledged."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    with Ledger(home) as ledger:
        traffic = Traffic(make_account(ledger, again=True), random.Random(seed))

        async def one_after_the_other() -> None:
            while going:
                intent, generation = traffic.pair(ledger.clock.now_ms())
                cell = ledger.recorder.take_cell()
                await ledger.recorder.intend(structs.replace(intent, cell=cell))
                await asyncio.sleep(0)
                await ledger.recorder.settle(generation)
                os.write(
                    acknowledge, b"%s=%d\n" % (generation.id.encode(), generation.charged_nanousd)
                )
                ledger.recorder.give_cell(cell)
                await asyncio.sleep(0.0005)

        async def all_of_them() -> None:
            await asyncio.gather(*(one_after_the_other() for _ in range(4)))

        asyncio.run(all_of_them())


def _seal_until_killed(home: Path) -> None:
    """Seal small windows, again and again."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    while going:
        if not seal.seal(home, SMALL_WINDOW, owner="bench"):
            time.sleep(0.01)


def _pull(reading: int, for_s: float | None) -> bytes:
    """Read what is written for some time, or until nobody can write any more."""
    until_s = time.monotonic() + (for_s if for_s is not None else 3_600)
    pieces: list[bytes] = []
    while (left_s := until_s - time.monotonic()) > 0:
        ready, _, _ = select.select([reading], [], [], left_s)
        if ready:
            piece = os.read(reading, 1 << 16)
            if not piece:
                break
            pieces.append(piece)
    return b"".join(pieces)


def _look(home: Path, acknowledged: dict[str, int], tally: _Tally) -> None:
    """Read everything, hot and sealed, and hold it against what was acknowledged."""
    with Lake(home, threads=1) as lake:
        rows = lake.rows("SELECT id, count(*), sum(charged_nanousd) FROM generations GROUP BY id")
    found = {identifier: (count, int(charged)) for identifier, count, charged in rows}
    tally.lost = sum(identifier not in found for identifier in acknowledged)
    tally.duplicates = sum(count > 1 for count, _ in found.values())
    tally.wrong_sums = sum(
        found[identifier][1] != charged
        for identifier, charged in acknowledged.items()
        if identifier in found and found[identifier][0] == 1
    )


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
