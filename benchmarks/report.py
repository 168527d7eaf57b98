"""Studies generated years: how long a report takes, what it recovers, how honest its intervals are.

First a large ledger: its rollups are made again and timed, then `glasslipper report` is run three
times, each in a process of its own, whose memory is measured: first with nothing there but the
rollups, later with everything, and once more without the drawings, as if there were new rows. Its
findings are held against the truth file. Then many small ledgers of other seeds, some of which
lack each effect: how many intervals hold the planted value, and what is found where nothing was
planted. The last line is JSON.

Generated ledgers of more than a million rows, and what a seed gave, are kept in `.bench/`, under
names made of the code that gave them, so that a bench that was stopped goes on where it was, and
another one need not generate again (100 million rows: 6 GB, 20 CPU minutes). What is timed is
always timed anew, by a Python that keeps its bytecode there, as it does where people install it.

    make bench-report                                             # all of it
    make bench-report ARGS="--rows 100000000 --seeds 0"           # the large ledger alone
    make bench-report ARGS="--rows 0 --seeds 200 --minutes 60"    # the seeds alone
    make bench-report ARGS="--quick"                              # under a minute
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import msgspec

import glasslipper
from glasslipper.cli.drawing import CHARTS
from glasslipper.cli.generating import generate
from glasslipper.ledger.lake import segments
from glasslipper.report import tallies
from glasslipper.report.study import SQL
from glasslipper.testing.year import Wish
from glasslipper.testing.year.models import MODELS
from glasslipper.testing.year.rows import FALLS_SHORT

LARGE, MEDIUM, SMALL = 100_000_000, 1_000_000, 80_000
SEEDS, FIRST_SEED = 200, 1_001
"""Seeds below the first one are for development: nothing was tuned on those from it on."""

QUICK_ROWS, QUICK_SEEDS = 100_000, 6
PROCESSES = 2
ROLLUPS = Path(__file__).with_name("report_rollups.py")
EFFECTS = {
    "foundational": ("glass-slipper", "found"),
    "boomerang": ("boomerang", "found"),
    "substitution": ("switches", "found"),
    "elasticity": ("elasticity", "verdict"),
    "price_error": ("data-quality", "mispriced"),
    "duplicates": ("data-quality", "duplicates"),
    "clock_skew": ("data-quality", "clock_keys"),
    "overpaying": ("overpaying", "found"),
}
"""Where each planted effect shows itself."""

PLANTED = {
    "foundational": "meridian/atlas-flash 2026-01",
    "boomerang": "lotus/river-r1",
    "substitution": "kestrel/swift-4 → kestrel/swift-5",
    "price_error": "borealis/aurora-3",
    "clock_skew": "key-003",
    "overpaying": "borealis/aurora-3/translation",
}
"""What is to be found by name; anything else that is found is a false alarm too."""

COUNTED = ("covered", "intervals", "alarms", "alarms_without", "lacking", "present", "detected")
"""What is counted of each seed."""

STUDYING = ("report", "testing/year", "ledger", "classify")
"""What the result of a seed depends on, beside this file."""

GENERATING = (
    "testing/year",
    "ledger/lake",
    "ledger/write/bulk.py",
    "ledger/write/segment.py",
    "classify/taxonomy.py",
)
"""What the rows of a generated ledger depend on, and how they are stored."""

PACKAGE = Path(glasslipper.__file__).parent
Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--minutes", type=float, help="Study no more seeds after so long.")
    parser.add_argument("--kept", type=Path, default=Path(".bench"), help="Where to keep things.")
    wish = parser.parse_args()
    keep_bytecode(wish.kept / "bytecode")
    rows = wish.rows if wish.rows is not None else QUICK_ROWS if wish.quick else LARGE
    seeds = wish.seeds if wish.seeds is not None else QUICK_SEEDS if wish.quick else SEEDS
    result: Json = {"rows": rows, "load_average": round(os.getloadavg()[0], 1)}
    if rows:
        result |= large(rows, seed=FIRST_SEED - 1, kept=wish.kept)
    if not wish.quick and rows > MEDIUM:
        medium = large(MEDIUM, seed=FIRST_SEED - 2, kept=wish.kept)
        result["million_rows_s"] = medium["first_build_s"]
        result["million_rows_cpu_s"] = medium["first_build_cpu_s"]
        result["million_rows_later_s"] = medium["later_build_s"]
        result["million_rows_redrawn_s"] = medium["redrawn_build_s"]
    result |= many(range(FIRST_SEED, FIRST_SEED + seeds), minutes=wish.minutes, kept=wish.kept)
    result["sql_files"] = len([*(Path(str(SQL)) / "sections").glob("*.sql")])
    print(json.dumps(result))


def large(rows: int, *, seed: int, kept: Path) -> Json:
    """Generate a ledger, make its rollups again, and report on it twice."""
    if rows > MEDIUM:
        home = kept / f"report-{rows}-{seed}-{code_mark(GENERATING)}"
        for old in kept.glob(f"report-{rows}-{seed}-*"):
            if old != home:
                shutil.rmtree(old)
        return measured(home, rows, seed=seed)
    with tempfile.TemporaryDirectory(prefix="glasslipper-report-") as folder:
        return measured(Path(folder) / "home", rows, seed=seed)


def measured(home: Path, rows: int, *, seed: int) -> Json:
    """Study the ledger in `home`, after it is generated if it is not there yet."""
    started = time.monotonic()
    say(f"Generating {rows:,} rows into {home}, what is there already left out")
    wish = Wish(rows=rows, seed=seed, everything=True)
    made: Json = msgspec.to_builtins(generate(home, wish, watch=told, processes=PROCESSES))
    size = size_of(home / segments.LAKE)
    say(f"… in {time.monotonic() - started:.0f} s: {made['rows']:,} rows, {size / 1e6:,.0f} MB")
    for made_before in (tallies.FOLDER, CHARTS):
        shutil.rmtree(home / made_before, ignore_errors=True)
    compile_all()
    say(
        f"Load average {os.getloadavg()[0]:.1f}. Rollups of {len(segments.found_in(home))} segments"
    )
    rollup, _ = watched([sys.executable, str(ROLLUPS), str(home)])
    say(f"… in {rollup['s']:.1f} s, {rollup['cpu']:.1f} of CPU. The first report")
    first, found, page = build(home)
    say(f"… in {first['s']:.1f} s, {first['cpu']:.1f} of CPU. A later one")
    later, _, page_again = build(home)
    say(f"… in {later['s']:.1f} s, {later['cpu']:.1f} of CPU. One whose charts are all new")
    shutil.rmtree(home / CHARTS)
    redrawn, _, page_redrawn = build(home)
    say(f"… in {redrawn['s']:.1f} s, {redrawn['cpu']:.1f} of CPU. Load {os.getloadavg()[0]:.1f}")
    if not page == page_again == page_redrawn:
        raise SystemExit("Two reports of the same ledger differ.")
    checks = compare(made, found)
    recovered = {section for section, oks in checks.items() if all(oks)}
    for section in sorted(set(checks) - recovered):
        say(f"Not recovered: {section}: {misses(made, found, section)}")
    return {
        "rows_made": made["rows"],
        "first_build_s": round(rollup["s"] + first["s"], 1),
        "rollups_s": round(rollup["s"], 1),
        "first_build_cpu_s": round(rollup["cpu"] + first["cpu"], 1),
        "rollups_cpu_s": round(rollup["cpu"], 1),
        "later_build_cpu_s": round(later["cpu"], 1),
        "later_build_s": round(later["s"], 1),
        "redrawn_build_cpu_s": round(redrawn["cpu"], 1),
        "redrawn_build_s": round(redrawn["s"], 1),
        "peak_rss_bytes": max(one["rss"] for one in (rollup, first, later, redrawn)),
        "html_bytes": len(page),
        "sections": len(found["sections"]),
        "sections_with_data": sum("claim" in one for one in found["sections"]),
        "sections_planted": len(checks),
        "sections_recovered": len(recovered),
        "bytes_a_row": round(size / made["rows"], 1),
    }


def told(what: str, done: int, total: int) -> None:
    """Say how far a long step is."""
    say(f"{what}: {done:,} of {total:,}")


def keep_bytecode(folder: Path) -> None:
    """Let the processes that are timed keep what Python compiles, as where people install it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder.resolve())


def compile_all() -> None:
    """Run what is to be timed on an empty ledger, so that all of it is compiled."""
    with tempfile.TemporaryDirectory() as folder:
        page = str(Path(folder) / "page.html")
        command = [sys.executable, "-m", "glasslipper", "report", "--json", "--out", page]
        watched(command, home=Path(folder))
        watched([sys.executable, str(ROLLUPS), folder])


def build(home: Path) -> tuple[Json, Json, bytes]:
    """Run `glasslipper report` as a process; return its seconds and memory, findings, and page."""
    page = home / "bench.html"
    command = [sys.executable, "-m", "glasslipper", "report", "--json", "--out", str(page)]
    spent, out = watched([*command, "--invoice", str(home / "invoice.csv")], home=home)
    found: Json = json.loads(out)
    return spent, found, page.read_bytes()


def watched(command: list[str], **places: Path) -> tuple[Json, bytes]:
    """Run a command; return its wall and CPU seconds and most memory, and what it printed."""
    started, before = time.monotonic(), children_cpu_s()
    given = {f"GLASSLIPPER_{name.upper()}": str(path) for name, path in places.items()}
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, env=os.environ | given)
        rss = watched_peak_bytes(child)
        out.seek(0)
        printed = out.read()
    if child.returncode:
        raise SystemExit(f"{command[1:4]} failed with status {child.returncode}.")
    cpu = children_cpu_s() - before
    return {"s": time.monotonic() - started, "rss": rss, "cpu": cpu}, printed


def watched_peak_bytes(child: subprocess.Popen[bytes]) -> int:
    """Return the most memory that a process and its children held, each at its own peak."""
    peaks: dict[int, int] = {}
    while child.poll() is None:
        for pid in [child.pid, *children_of(child.pid)]:
            peaks[pid] = max(peaks.get(pid, 0), peak_kib(pid))
        time.sleep(0.02)
    child.wait()
    return sum(peaks.values()) * 1024


def children_of(pid: int) -> list[int]:
    try:
        return [
            int(one)
            for path in Path(f"/proc/{pid}/task").glob("*/children")
            for one in path.read_text(encoding="ascii").split()
        ]
    except OSError:
        return []


def peak_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return max([0, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def findings_of(found: Json) -> dict[str, Json]:
    return {one["id"]: one.get("findings", {}) for one in found["sections"]}


def holds(finding: object, truth: float) -> bool | None:
    """Tell whether a finding holds the true value; `None` where there is no finding."""
    if isinstance(finding, dict):
        span = cast("Json", finding)
        return bool(span["low"] - 1e-9 <= truth <= span["high"] + 1e-9)
    if isinstance(finding, int | float):
        return math.isclose(finding, truth, rel_tol=1e-6, abs_tol=1e-6)
    return None


def compare(truth: Json, found: Json) -> dict[str, list[bool]]:
    """Return, by section, whether each number that was planted was found.

    Sums must be equal. Where a section has many intervals, as many as chance gives may miss:
    the section is recovered if at least nine in ten hold their value.
    """
    mine = findings_of(found)
    checks: dict[str, list[bool]] = {}
    for section, numbers in truth["sums"].items():
        checks[section] = [
            _equal(mine.get(section, {}).get(name), value) for name, value in numbers.items()
        ]
    for section, numbers in truth["parameters"].items():
        held = [holds(mine.get(section, {}).get(name), value) for name, value in numbers.items()]
        told = [one for one in held if one is not None]
        most = bool(told) and sum(told) >= 0.9 * len(told)
        checks[section] = [*checks.get(section, []), most]
    return checks


def _equal(finding: object, truth: float) -> bool:
    value: object = cast("Json", finding)["value"] if isinstance(finding, dict) else finding
    return isinstance(value, int | float) and math.isclose(value, truth, rel_tol=1e-6, abs_tol=1e-6)


def misses(truth: Json, found: Json, section: str) -> list[str]:
    """Return the numbers of a section that were not found, for people."""
    mine = findings_of(found).get(section, {})
    numbers = truth["sums"].get(section, {}) | truth["parameters"].get(section, {})
    return [
        f"{name} = {value:.6g}, found {mine.get(name)}"
        for name, value in numbers.items()
        if not holds(mine.get(name), value)
    ][:3]


def many(seeds: range, *, minutes: float | None = None, kept: Path) -> Json:
    """Study small ledgers of many seeds; count covered intervals and false alarms."""
    started = time.monotonic()
    file = kept / f"report-seeds-{code_mark(STUDYING)}.jsonl"
    done = seeds_kept(file, seeds)
    left = [seed for seed in seeds if seed not in done]
    say(f"Studying {len(left)} small ledgers of {SMALL:,} rows; {len(done)} were studied before")
    kept.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool, file.open("a", encoding="utf-8") as lines:
        for one in pool.imap_unordered(study_seed, left):
            done[one["seed"]] = one
            lines.write(json.dumps(one) + "\n")
            lines.flush()
            if minutes is not None and time.monotonic() - started > 60 * minutes:
                say(f"Stopped after {len(done)} seeds, as {minutes:g} minutes are over")
                break
    return summed([done[seed] for seed in sorted(done)])


def code_mark(rooms: tuple[str, ...]) -> str:
    """Return what changes when anything does in these rooms, or in this file if they are all."""
    digest = hashlib.sha256(Path(__file__).read_bytes() if rooms == STUDYING else b"")
    for room in rooms:
        base = PACKAGE / room
        for path in [base] if base.is_file() else sorted(base.rglob("*.*")):
            if path.suffix in {".py", ".sql", ".tsv", ".json"}:
                digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def seeds_kept(file: Path, seeds: range) -> dict[int, Json]:
    """Return what is kept of these seeds; a line that was cut off is left out."""
    found: dict[int, Json] = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                one: Json = json.loads(line)
            except ValueError:
                continue
            if one["seed"] in seeds:
                found[one["seed"]] = one
    return found


def summed(found: list[Json]) -> Json:
    """Add up what the seeds gave."""
    sums: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    for one in found:
        for name, counts in sums.items():
            counts.update(one[name])
    covered, intervals, alarms, without, lacking, present, detected = sums.values()
    return {
        "seeds": len(found),
        "seconds_a_seed": round(sum(one["s"] for one in found) / max(len(found), 1), 2),
        "cpu_s_a_seed": round(sum(one["cpu_s"] for one in found) / max(len(found), 1), 2),
        "interval_coverage": round(covered.total() / max(intervals.total(), 1), 4),
        "intervals": intervals.total(),
        "coverage_by_section": {
            name: round(covered[name] / n, 4) for name, n in sorted(intervals.items())
        },
        "intervals_by_section": dict(sorted(intervals.items())),
        "false_alarms": alarms.total(),
        "false_alarms_by_effect": {name: [alarms[name], len(found)] for name in EFFECTS},
        "false_alarms_without_effect": {name: [without[name], lacking[name]] for name in EFFECTS},
        "detected_by_effect": {name: [detected[name], present[name]] for name in EFFECTS},
    }


def study_seed(seed: int) -> Json:
    """Return what one small ledger's study got right and wrong."""
    from glasslipper.cli import studying
    from glasslipper.report.export import as_json

    started, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="glasslipper-seed-") as folder:
        home = Path(folder) / "home"
        generate(home, Wish(rows=SMALL, seed=seed))
        given = studying.Given(home=home, invoice=home / "invoice.csv")
        report = studying.study(given, lambda what, done, total: None)
        truth: Json = json.loads((home / "truth.json").read_bytes())
    found: Json = json.loads(json.dumps(as_json(report)))
    mine = findings_of(found)
    covered: Counter[str] = Counter()
    intervals: Counter[str] = Counter()
    for section, numbers in truth["parameters"].items():
        if section == "latency":
            continue
        for name, value in numbers.items():
            held = holds(mine.get(section, {}).get(name), value)
            if held is not None:
                intervals[section] += 1
                covered[section] += held
    judged = {effect: judge(effect, mine, truth) for effect in EFFECTS}
    return {
        "seed": seed,
        "s": round(time.monotonic() - started, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "covered": covered,
        "intervals": intervals,
        "alarms": [effect for effect, one in judged.items() if one["alarm"]],
        "alarms_without": [
            effect for effect, one in judged.items() if one["alarm"] and effect in truth["absent"]
        ],
        "lacking": [effect for effect in EFFECTS if effect in truth["absent"]],
        "present": [effect for effect in EFFECTS if effect not in truth["absent"]],
        "detected": [effect for effect, one in judged.items() if one["detected"]],
    }


def judge(effect: str, mine: dict[str, Json], truth: Json) -> dict[str, bool]:
    """Tell whether an effect was found, and whether anything was that was not planted."""
    section, name = EFFECTS[effect]
    said = mine.get(section, {}).get(name)
    there = effect not in truth["absent"]
    if effect == "duplicates":
        return {"detected": there and bool(said), "alarm": not there and bool(said)}
    if effect == "overpaying":
        return judge_overpaying(mine.get(section, {}), there=there)
    if effect == "elasticity":
        yes = said == "identified"
        return {"detected": there and yes, "alarm": not there and yes}
    named = [] if said in (None, "none") else str(said).split(", ")
    wanted = PLANTED[effect]
    hit = wanted in named
    others = [one for one in named if one != wanted]
    return {"detected": there and hit, "alarm": bool(others) or (hit and not there)}


def judge_overpaying(found: Json, *, there: bool) -> dict[str, bool]:
    """Tell whether the dear workloads were found, and any for which the cheap model is worse.

    Other models than the planted ones may truly suffice: what counts is their true quality.
    """
    quality = {model.id: model.quality for model in MODELS}
    detected, alarm = False, False
    said = str(found.get("found", "none"))
    for name in [] if said == "none" else said.split(", "):
        author, model, about, other_author, other = name.split("/")
        main = f"{author}/{model}"
        behind = quality[f"{other_author}/{other}"] - quality[main]
        if f"{main}/{about}" == PLANTED["overpaying"]:
            detected = there
            behind = 0.0 if there else FALLS_SHORT[1] - FALLS_SHORT[0]
        alarm = alarm or behind < -0.05 - 1e-9
    return {"detected": detected, "alarm": alarm}


def say(text_: str) -> None:
    print(text_, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
