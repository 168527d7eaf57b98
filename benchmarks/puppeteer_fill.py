"""Fill the cache of answers for `make puppeteer-live`: the long part, which may be stopped.

Every puppet (model and pattern) answers every task, in an order of which any beginning is a fair
sample, training and test by turns. Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from glasslipper.puppeteer import exam
from glasslipper.puppeteer.exam import Split, Task
from puppeteer_table import MODELS, PATTERNS, Stand, data_folder


def paper(tasks: int) -> list[tuple[Split, Task]]:
    data = data_folder()
    drawn: dict[Split, list[Task]] = {
        "train": exam.draw(data, "train", tasks),
        "test": exam.draw(data, "test", tasks),
    }
    return [
        (split, task)
        for pair in zip(drawn["train"], drawn["test"], strict=True)
        for split, task in zip(("train", "test"), pair, strict=True)
    ]


async def fill(stand: Stand, tasks: int, seconds: float) -> None:
    began = time.monotonic()
    asked = 0
    todo = paper(tasks)
    for place, (_, task) in enumerate(todo):
        for model in MODELS:
            for pattern in PATTERNS:
                if time.monotonic() - began > seconds:
                    return
                if stand.known(model, pattern, task) is None:
                    await stand.ask(model, pattern, task)
                    asked += 1
        took = time.monotonic() - began
        sys.stderr.write(f"\r{place + 1}/{len(todo)} tasks, {asked} calls, {took:,.0f} s ")
        sys.stderr.flush()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=120, help="of each split")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--cache", type=Path, default=None)
    args = parser.parse_args()
    stand = Stand(args.cache)
    try:
        await fill(stand, args.tasks, args.seconds)
    finally:
        await stand.close()


if __name__ == "__main__":
    asyncio.run(main())
