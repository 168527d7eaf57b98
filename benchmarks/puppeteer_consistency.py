"""One task, many times, three ways: as a firm script, as `auto`, and talked over freely.

    python benchmarks/puppeteer_consistency.py [--quick] [--runs 100]

The task is to take an order out of a letter as JSON. Every run has a seed of its own and the
temperature that the models' makers recommend. The *script* is what a flow does: one call bound
to a schema, then a check in code of what must hold, then the larger model if it does not. *auto*
is the policy that serves without training. In the *free talk* agents see what was said and decide
themselves who is right and when it is over. Replies are cached by content and seed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from msgspec import Struct

from glasslipper.kernel.events import Folder, TextDelta
from glasslipper.kernel.messages import Message, Request, ResponseFormat, Role, Sampling, TextPart
from glasslipper.kernel.ports import Played, Receipt
from glasslipper.local import LocalModels
from glasslipper.puppeteer.conductor import Puppeteer
from glasslipper.puppeteer.forms import answer_in, meaning_of
from glasslipper.store import places
from puppeteer_caller import LocalCaller

SMALL, LARGE = "local/smol", "local/coder-0.5b"
LETTER = (
    "Dear team, please send twelve chairs, all of them blue, to our shop in Graz; last time it "
    "was nine. Best, Lena Novak"
)
TASK = (
    f'{LETTER}\n\nExtract the order as a JSON object with the keys "item" (the noun only), '
    '"colour", "count" (number) and "city". Reply with the JSON object only.'
)
GOLD = meaning_of("json", '{"item": "chairs", "colour": "blue", "count": 12, "city": "Graz"}')
NUMBERS = {"nine": 9, "twelve": 12}
SCHEMA = {
    "type": "object",
    "properties": {
        "item": {"type": "string"},
        "colour": {"type": "string", "enum": ["black", "blue", "green", "red", "white"]},
        "count": {"type": "integer"},
        "city": {"type": "string"},
    },
    "required": ["item", "colour", "count", "city"],
    "additionalProperties": False,
}
MOST_TOKENS = 48
MOST_TALK = 3


class Run(Struct):
    """One run: what it answered, and what it cost in nano-USD."""

    answer: str
    cost_nanousd: int


def message(role: Role, text: str) -> Message:
    return Message(role=role, parts=(TextPart(text=text),))


def request(model: str, turns: tuple[Message, ...], seed: int, *, bound: bool = False) -> Request:
    shape = ResponseFormat(kind="json_schema", schema=SCHEMA) if bound else ResponseFormat()
    return Request(
        model=model,
        messages=turns,
        sampling=Sampling(max_tokens=MOST_TOKENS, seed=seed),
        response_format=shape,
    )


async def say(caller: LocalCaller, asked: Request) -> tuple[str, int]:
    receipt, folder = Receipt(), Folder()
    async for event in caller.call(asked, ceiling_nanousd=None, receipt=receipt, labels={}):
        folder.add(event)
    return folder.answer().text, receipt.charged_nanousd


def holds(text: str) -> bool:
    """Whether an order can be right: its words stand in the letter, its count is a known number."""
    try:
        order = json.loads(text)
    except ValueError:
        return False
    told = LETTER.lower()
    words = all(str(order.get(key, "")).lower() in told for key in ("item", "colour", "city"))
    return words and order.get("count") in NUMBERS.values()


async def script(caller: LocalCaller, seed: int) -> Run:
    """One bound call, a check, and the larger model where it fails."""
    cost = 0
    text = ""
    for model in (SMALL, LARGE):
        asked = request(model, (message("user", TASK),), seed, bound=True)
        text, took = await say(caller, asked)
        cost += took
        if holds(text):
            break
    return Run(text, cost)


async def auto(caller: LocalCaller, seed: int) -> Run:
    """`glasslipper/auto`, as a client asks it."""
    said, cost = "", 0
    asked = request("glasslipper/auto", (message("user", TASK),), seed)
    async for piece in Puppeteer().run(asked, caller):
        if isinstance(piece, TextDelta):
            said += piece.text
        elif isinstance(piece, Played):
            cost = piece.charged_nanousd
    return Run(said, cost)


async def free_talk(caller: LocalCaller, seed: int) -> Run:
    """Agents who see each other's words, by turns, until one says that all is done."""
    talk: list[str] = []
    answer, cost = "", 0
    for turn in range(MOST_TALK):
        told = "\n".join(talk) or "(nobody has spoken yet)"
        turns = (
            message(
                "system",
                "You are one of two colleagues who solve a task together. Say your opinion and "
                "give the JSON. If you are sure that the last JSON is right, say DONE.",
            ),
            message("user", f"{TASK}\n\nSaid so far:\n{told}"),
        )
        model = LARGE if turn % 2 else SMALL
        text, took = await say(caller, request(model, turns, seed * 10 + turn))
        cost += took
        talk.append(f"Colleague {turn % 2 + 1}: {text}")
        found = answer_in("json", text)
        answer = found if found.startswith("{") else answer
        if "DONE" in text and answer:
            break
    return Run(answer, cost)


ARMS = {"script": script, "auto": auto, "free_talk": free_talk}


class Memory:
    """Runs by arm and seed, kept on disk as they are made, so that a long bench resumes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.runs: dict[str, dict[str, Run]] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                one = json.loads(line)
                if one.get("task") != TASK:
                    continue
                run = Run(one["answer"], one["cost_nanousd"])
                self.runs.setdefault(one["arm"], {})[one["seed"]] = run

    def keep(self, arm: str, seed: int, run: Run) -> None:
        """Remember a run."""
        self.runs.setdefault(arm, {})[str(seed)] = run
        line = {"arm": arm, "seed": str(seed), "answer": run.answer, "task": TASK}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "cost_nanousd": run.cost_nanousd}) + "\n")


def shown(runs: list[Run]) -> dict[str, object]:
    meanings = [meaning_of("json", answer_in("json", run.answer)) for run in runs]
    right = np.array([float(meaning == GOLD) for meaning in meanings])
    draw = np.random.default_rng(1)
    means = right[draw.integers(0, len(right), (4000, len(right)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    costs = [run.cost_nanousd for run in runs]
    counts = Counter(meanings)
    return {
        "success": round(float(right.mean()), 4),
        "success_ci": [round(float(low), 4), round(float(high), 4)],
        "cost_per_task": round(float(np.mean(costs)) / 1e9, 9),
        "cost_spread": round(float(np.std(costs)) / 1e9, 9),
        "distinct_answers": len(counts),
        "commonest_share": round(counts.most_common(1)[0][1] / len(runs), 4),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five runs of each")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--kept", type=Path, default=None, help="resume from, and keep in, a file")
    args = parser.parse_args()
    count = 5 if args.quick else args.runs
    memory = Memory(args.kept or Path("/nonexistent"))
    local = LocalModels(folder=places.models(), threads=1, slots=1, context_tokens=1024)
    caller = LocalCaller(local, (SMALL, LARGE))
    began = time.monotonic()
    runs: dict[str, list[Run]] = {arm: [] for arm in ARMS}
    try:
        for seed in range(1, count + 1):
            for arm, act in ARMS.items():
                run = memory.runs.get(arm, {}).get(str(seed))
                if run is None:
                    run = await act(caller, seed)
                    if args.kept is not None:
                        memory.keep(arm, seed, run)
                runs[arm].append(run)
            sys.stderr.write(f"\r{seed}/{count} runs, {time.monotonic() - began:,.0f} s ")
    finally:
        await local.close()
    arms = {arm: shown(done) for arm, done in runs.items()}
    sys.stderr.write("\n")
    for arm, one in arms.items():
        sys.stderr.write(f"{arm:10} {one}\n")
    report = {"task_runs": count, "arms": arms, "wall_s": round(time.monotonic() - began, 1)}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
