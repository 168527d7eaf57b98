"""Let suites and clients written by others judge a running gateway.

    make referees
    make referees ARGS="--quick"             # a part, in less than a minute
    make referees ARGS="--only llm-comply"   # one referee; the table is not written

Each referee is fetched once, pinned, into the user's cache. One that cannot be had is in the
table with the reason. A full run writes `referees/RESULTS.md`; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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
    chosen = parser.parse_args()
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
        write_table(TABLE, verdicts, command="make referees")
    mention(f"{time.monotonic() - began_s:.0f} s")
    sys.stdout.write(json.dumps({"results": as_json(verdicts)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
