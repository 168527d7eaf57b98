"""Let suites and clients written by others judge a running gateway.

    make referees
    make referees ARGS="--quick"             # a part, in less than a minute
    make referees ARGS="--only llm-comply"   # one referee; the table is not written
    make referees ARGS="--table A B"         # the table of runs whose last lines are in files

Each referee is fetched once, pinned, into the user's cache. One that cannot be had is in the
table with the reason. A full run writes `referees/RESULTS.md`; so do several parts of one, by
`--table`, which asks nobody anything. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from referees import agents, chaos, clients, comply, rosetta, schemas
from referees.stand import mention
from referees.verdict import Verdict, as_json, write_table

TABLE = Path(__file__).with_name("RESULTS.md")

REFEREES: dict[str, Callable[..., Iterator[Verdict]]] = {
    "llm-comply": comply.referee,
    "schemathesis": schemas.referee,
    "llmock": chaos.referee,
    "clients": clients.referee,
    "agents": agents.referee,
    "llm-rosetta": rosetta.referee,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make referees")
    parser.add_argument("--quick", action="store_true", help="a part, in less than a minute")
    parser.add_argument("--only", choices=REFEREES, action="append", help="only this referee")
    parser.add_argument("--table", nargs="+", type=Path, help="write the table of earlier runs")
    chosen = parser.parse_args()
    if chosen.table:
        _write([verdict for path in chosen.table for verdict in _told(path)])
        return
    began_s = time.monotonic()
    verdicts = []
    for name in chosen.only or REFEREES:
        for verdict in REFEREES[name](quick=chosen.quick):
            verdicts.append(verdict)
            mention(
                f"  {verdict.referee} {verdict.subject}: {verdict.passed} passed, "
                f"{verdict.failed} failed, {verdict.skipped} skipped"
            )
    if not chosen.quick and not chosen.only:
        _write(verdicts)
    mention(f"{time.monotonic() - began_s:.0f} s")
    sys.stdout.write(json.dumps({"results": as_json(verdicts)}, ensure_ascii=False) + "\n")


def _told(path: Path) -> list[Verdict]:
    """Return the verdicts in the last line of a run's output."""
    line = path.read_text(encoding="utf-8").strip().splitlines()[-1]
    return msgspec.convert(json.loads(line)["results"], list[Verdict])


def _write(verdicts: Sequence[Verdict]) -> None:
    write_table(TABLE, verdicts, command="make referees")


if __name__ == "__main__":
    main()
