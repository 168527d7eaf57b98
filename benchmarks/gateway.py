"""Measures what the gateway costs beside others: CPU, throughput, added latency, streams, memory.

    make bench-gateway
    make bench-gateway ARGS="--quick"

In one run and in front of one fake upstream: the upstream itself (`direct`), nginx, Glasslipper
with the defaults of `make up` and a key that has a limit, the same with durability `power`,
LiteLLM's proxy and Portkey's gateway. Each subject is a process on one core; the load and the
upstream share another. Subjects take turns in rounds, and figures are medians over the rounds.
The run fails unless Glasslipper's tables hold exactly one row for every request that it was sent.

The keys of the last line:

    cpu_us_per_request   CPU time of a subject's processes for a request that is not streamed,
                         with what they do after the answer (copying records, say); of the
                         upstream itself for `direct`
    requests_per_s       answers per second to 32 clients that ask again at once; the load's own
                         share of its core is in `load`, and bounds what `direct` and `nginx` reach
    added_ms             one client, an upstream that answers after 20 ms, requests taking turns
                         with direct ones: each percentile through Glasslipper less the same
                         percentile of the direct ones
    streams              of 64 frames at 20 ms each, read by `concurrent` clients at once, several
                         by each: `lost_frames` never came. A frame's lateness is counted from its
                         stream's own schedule, which begins with its most punctual frame;
                         `late_frames` are later than the 99th percentile of the direct frames
                         and another 5 ms. `interframe_added_p99_ms` is the 99th percentile of the
                         time from a frame to the next, less that of the direct ones
    punctual_streams     the most streams at once, of 125, 250, 500 and `concurrent`, whose frames
                         keep within 5 ms of the direct ones' 99th percentile between frames
    rss_slope_bytes_per_request
                         growth of resident memory, a straight line through samples taken after
                         the first fifth of the requests

`glasslipper_power` stands beside in every table; a subject that cannot be had is null.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from gateway_meter import load_average
from gateway_peers import LITELLM, PORTKEY
from gateway_streams import Stream
from gateway_subjects import CLIENTS, Glasslipper, Stage, Subject
from load import allow_many_connections
from outcome import Progress, conclude, mention, table

NAMES = ("direct", "nginx", "glasslipper", "glasslipper_power", "litellm", "portkey")
LATE_MS = 5.0
FEWER_STREAMS = (500, 250, 125)
SAMPLES = 40


class Plan(Struct, frozen=True, kw_only=True):
    """How much of everything; `burst_s` is about how long one turn of a subject takes."""

    rounds: int
    burst_s: float
    pairs: int
    streams_each: int
    all_streams: bool
    slope_requests: int


FULL = Plan(
    rounds=15, burst_s=1.0, pairs=600, streams_each=5, all_streams=True, slope_requests=200_000
)
QUICK = Plan(
    rounds=4, burst_s=0.4, pairs=60, streams_each=2, all_streams=False, slope_requests=8_000
)


class Turn(Struct, frozen=True):
    """What one burst of one subject took; `load_us` is the CPU of the load for a request."""

    cpu_us: float
    requests_per_s: float
    load_us: float


Turns = dict[str, list[Turn]]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all are not above."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def take_turns(subjects: Sequence[Subject], plan: Plan, progress: Progress) -> Turns:
    """Let the subjects be asked in turn, round after round."""
    sizes = {subject.name: burst_size(subject, plan.burst_s) for subject in subjects}
    turns: Turns = defaultdict(list)
    for _ in range(plan.rounds):
        for subject in subjects:
            burst, cpu_us = subject.measured(sizes[subject.name])
            load_us = burst.load_cpu_s * 1e6 / burst.requests
            turns[subject.name].append(Turn(cpu_us, burst.requests / burst.wall_s, load_us))
            progress.step(f"{subject.name} {cpu_us:.0f} us")
    return turns


def burst_size(subject: Subject, burst_s: float) -> int:
    """Warm a subject up and return how many requests keep it busy for about `burst_s`."""
    subject.burst(CLIENTS)
    burst = subject.burst(CLIENTS)
    if burst.wall_s < burst_s / 4:
        burst = subject.burst(int(burst.requests / burst.wall_s * burst_s / 4))
    return max(int(burst.requests / burst.wall_s * burst_s), CLIENTS)


def added_ms(direct: Subject, others: Sequence[Subject], pairs: int) -> dict[str, dict[str, float]]:
    """Return by subject the percentiles of its times less those of the direct ones."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(pairs):
        for subject in (direct, *others):
            times[subject.name].append(subject.slow_ms())
    base = times.pop("direct")
    return {
        name: {
            "p50": round(percentile(found, 0.5) - percentile(base, 0.5), 3),
            "p99": round(percentile(found, 0.99) - percentile(base, 0.99), 3),
        }
        for name, found in times.items()
    }


class Heard(Struct, frozen=True):
    """The streams of one subject, as far as they are compared."""

    streams: Sequence[Stream]
    at_once: int
    lateness_ms: Sequence[float]
    gaps_ms: Sequence[float]
    cpu_us_per_frame: float

    def beside(self, direct: Heard) -> dict[str, float]:
        """Return the figures of this subject, judged by the direct ones."""
        bound_ms = percentile(direct.lateness_ms, 0.99) + LATE_MS
        return {
            "concurrent": self.at_once,
            "lost_frames": sum(stream.lost for stream in self.streams),
            "late_frames": sum(one > bound_ms for one in self.lateness_ms),
            "interframe_added_p99_ms": round(
                percentile(self.gaps_ms, 0.99) - percentile(direct.gaps_ms, 0.99), 3
            ),
            "frames": len(self.lateness_ms),
            "late_after_ms": round(bound_ms, 3),
            "lateness_p50_ms": round(percentile(self.lateness_ms, 0.5), 3),
            "lateness_p99_ms": round(percentile(self.lateness_ms, 0.99), 3),
            "cpu_us_per_frame": round(self.cpu_us_per_frame, 1),
        }


def hear(subject: Subject, clients: int, *, each: int) -> Heard:
    """Read streams from a subject."""
    before_ns = subject.rest()
    streams, at_once = subject.streams(clients, each=each)
    spent_ns = subject.rest() - before_ns
    lateness_ms = [one for stream in streams for one in stream.lateness_ms()]
    gaps_ms = [one for stream in streams for one in stream.gaps_ms()]
    if not gaps_ms:
        raise RuntimeError(f"no stream of {subject.name} said anything")
    return Heard(streams, at_once, lateness_ms, gaps_ms, spent_ns / 1000 / len(lateness_ms))


def punctual_streams(
    direct: Subject, fast: Sequence[Subject], heard: dict[str, dict[str, float]], clients: int
) -> dict[str, int]:
    """Return for each subject how many streams at once it serves in time; 0 if not even few."""
    most = {
        subject.name: clients * (heard[subject.name]["interframe_added_p99_ms"] <= LATE_MS)
        for subject in fast
    }
    for fewer in FEWER_STREAMS:
        left = [subject for subject in fast if not most[subject.name]]
        if not left:
            break
        base = hear(direct, fewer, each=2)
        for subject in left:
            found = hear(subject, fewer, each=2).beside(base)
            most[subject.name] = fewer * (found["interframe_added_p99_ms"] <= LATE_MS)
    return most


def rss_slope(subject: Subject, requests: int) -> float:
    """Return by how many bytes the resident memory grows with each request."""
    subject.hang_up()  # its connections may have rested too long
    done: list[float] = []
    resident: list[float] = []
    for sample in range(SAMPLES):
        subject.burst(requests // SAMPLES)
        if sample >= SAMPLES // 5:
            done.append((sample + 1) * (requests // SAMPLES))
            resident.append(subject.rss_bytes)
    return statistics.linear_regression(done, resident).slope


def by_name(turns: Turns, field: str) -> dict[str, float | None]:
    """Return the median of a field of every subject, `None` for those that were left out."""
    return {
        name: round(statistics.median(getattr(turn, field) for turn in turns[name]), 1)
        if turns.get(name)
        else None
        for name in NAMES
    }


def ratios(cpu_us: dict[str, float | None]) -> dict[str, float | None]:
    """Return how many times the CPU of ours each other subject needs."""
    ours = cpu_us["glasslipper"] or math.nan
    return {
        name: round(spent / ours, 3) if spent is not None else None
        for name, spent in cpu_us.items()
        if name != "glasslipper"
    }


def measure(stage: Stage, plan: Plan, clients: int) -> dict[str, object]:
    """Measure everything."""
    subjects = stage.subjects
    direct, ours = subjects["direct"], subjects["glasslipper"]
    progress = Progress("gateway", plan.rounds * len(subjects) + len(subjects) + 3)
    loads = [load_average()]
    turns = take_turns(list(subjects.values()), plan, progress)
    cpu_us, requests_per_s = by_name(turns, "cpu_us"), by_name(turns, "requests_per_s")
    loads.append(load_average())
    show(turns, cpu_us, requests_per_s)
    fast = [subjects[name] for name in NAMES[1:4] if name in subjects]
    added = added_ms(direct, fast, plan.pairs)
    progress.step("latency")
    heard: dict[str, dict[str, float]] = {}
    base = hear(direct, clients, each=plan.streams_each)
    for subject in (direct, *fast) if plan.all_streams else (direct, ours):
        found = base if subject is direct else hear(subject, clients, each=plan.streams_each)
        heard[subject.name] = found.beside(base)
        progress.step(f"streams of {subject.name}")
    punctual = punctual_streams(direct, fast, heard, clients) if plan.all_streams else None
    progress.step("fewer streams")
    slope = rss_slope(ours, plan.slope_requests)
    progress.step("memory")
    loads.append(load_average())
    show_streams(heard)
    return {
        "cpu_us_per_request": cpu_us,
        "requests_per_s": requests_per_s,
        "added_ms": added["glasslipper"],
        "streams": heard["glasslipper"],
        "punctual_streams": punctual,
        "rss_slope_bytes_per_request": round(slope, 3),
        "times_our_cpu": ratios(cpu_us),
        "cpu_us_least": {
            name: round(min(turn.cpu_us for turn in found), 1) for name, found in turns.items()
        },
        "cpu_us_quartiles": {
            name: [round(one, 1) for one in statistics.quantiles(turn.cpu_us for turn in found)]
            for name, found in turns.items()
        },
        "added_ms_beside": added,
        "streams_beside": heard,
        "rounds": plan.rounds,
        "slope_requests": plan.slope_requests,
        "load": {
            "clients": CLIENTS,
            "cpu_us_per_request": by_name(turns, "load_us"),
            "load_average": [round(one, 2) for one in loads],
            "cores": os.cpu_count(),
        },
        "versions": {"litellm": LITELLM, "portkey": PORTKEY, "python": sys.version.split()[0]},
    }


def show(
    turns: Turns, cpu_us: dict[str, float | None], requests_per_s: dict[str, float | None]
) -> None:
    """Show the unary figures for people."""
    table(
        ["subject", "CPU us/request", "least", "quartiles", "requests/s", "load us"],
        [
            [
                name,
                cpu_us[name],
                f"{min(turn.cpu_us for turn in found):.1f}",
                "-".join(f"{one:.0f}" for one in statistics.quantiles(t.cpu_us for t in found)),
                requests_per_s[name],
                f"{statistics.median(turn.load_us for turn in found):.1f}",
            ]
            for name, found in turns.items()
        ],
    )


def show_streams(heard: dict[str, dict[str, float]]) -> None:
    """Show the streams' figures for people."""
    columns = list(next(iter(heard.values())))
    table(["streams", *columns], [[name, *found.values()] for name, found in heard.items()])


def check_rows(stage: Stage) -> dict[str, dict[str, int]]:
    """Stop our gateways and compare what they were sent with what they recorded."""
    return {
        name: {"sent": subject.sent, "rows": subject.stop()}
        for name, subject in stage.subjects.items()
        if isinstance(subject, Glasslipper)
    }


def main() -> None:
    """Measure, check the records, and print one JSON line."""
    parser = argparse.ArgumentParser(
        prog="make bench-gateway",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="less of everything; fetch no peer")
    parser.add_argument("--no-peers", action="store_true", help="leave LiteLLM and Portkey out")
    parser.add_argument("--streams", type=int, default=1_000, help="concurrent streams")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("two cores are needed: one for the subject and one for the load")
    allow_many_connections()
    stage = Stage(
        load_core=cores[0],
        subject_core=cores[1],
        may_fetch=not given.quick,
        peers=not given.no_peers,
    )
    with stage:
        figures = measure(stage, QUICK if given.quick else FULL, given.streams)
        recorded = check_rows(stage)
    figures["durable"] = recorded
    if any(one["sent"] != one["rows"] for one in recorded.values()):
        mention(f"records and requests differ: {recorded}")
        conclude(figures)
        sys.exit(1)
    conclude(figures)


if __name__ == "__main__":
    main()
