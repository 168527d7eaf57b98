"""The live bench's models, patterns and cache, and how a puppet's reply becomes a cell."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
from msgspec import Struct

from glasslipper.kernel.events import Folder
from glasslipper.kernel.messages import Request, Sampling
from glasslipper.kernel.ports import Attempted
from glasslipper.local import MODELS as CATALOGUE
from glasslipper.local import LocalModels
from glasslipper.puppeteer.exam import Task
from glasslipper.puppeteer.forms import answer_in, check_of, meaning_of
from glasslipper.puppeteer.patterns import Conclusion, Program, Seen, messages, pattern, read
from glasslipper.puppeteer.recall import Recall, Reply, key_of
from glasslipper.puppeteer.reinforce import Table
from glasslipper.puppeteer.stage import PROGRAM_LIMITS
from glasslipper.puppeteer.turns import Puppet, Turn
from glasslipper.sandbox import open_sandbox, run_python
from glasslipper.store import places

MODELS = ("local/smol", "local/coder-0.5b", "local/coder-1.5b")
PATTERNS = ("conclude", "python")
FORMS = {
    "number": "Reply with the number only.",
    "json": "Reply with the JSON object only, on one line.",
    "code": "Reply with the code of the function only.",
    "words": "",
}
MOST_TOKENS = {"number": 16, "json": 48, "code": 72, "words": 28}
SHIPPED = Path(__file__).with_name("puppeteer_answers.jsonl.gz")


def data_folder() -> Path:
    return Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))


class Stand:
    """Asks puppets, and remembers what they said."""

    def __init__(self, cache: Path | None = None) -> None:
        path = cache or places.models().parent / "puppeteer" / "answers.jsonl"
        self.recall = Recall(path, also=(SHIPPED,))
        self.local = LocalModels(folder=places.models(), threads=1, slots=1, context_tokens=768)

    def request(self, model: str, name: str, task: Task) -> Request:
        """Return what a puppet is asked."""
        way = pattern(name)
        if way.output == "program":
            text, most = task.text, way.max_tokens
            text += "\nPrint the answer." if task.form != "code" else ""
        else:
            text, most = f"{task.text}\n{FORMS[task.form]}".strip(), MOST_TOKENS[task.form]
        sampling = Sampling(
            max_tokens=most, temperature=0, seed=1, logprobs=True, stop=tuple(way.stop)
        )
        return Request(model=model, messages=messages(way, Seen(task=text)), sampling=sampling)

    def known(self, model: str, name: str, task: Task) -> Reply | None:
        """Return what it answered, if the cache knows."""
        return self.recall.find(self._key(self.request(model, name, task)))

    async def ask(self, model: str, name: str, task: Task, *, keep: bool = True) -> Reply:
        """Ask it, and remember the answer if it is to be kept."""
        request = self.request(model, name, task)
        attempt = Attempted(id="live", request=request, upstream_model=model)
        folder = Folder()
        async for event in self.local.send(attempt):
            folder.add(event)
        answer, usage = folder.answer(), attempt.usage
        assert usage is not None
        logprobs = [token.logprob for token in answer.logprobs]
        reply = Reply(
            text=answer.text,
            finish=answer.finish or "error",
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cpu_us=usage.cpu_us,
            logprob=sum(logprobs) / len(logprobs) if logprobs else None,
        )
        if keep:
            self.recall.keep(self._key(request), model, reply)
        return reply

    async def close(self) -> None:
        """Give the memory back."""
        await self.local.close()

    def _key(self, request: Request) -> str:
        return key_of(request, CATALOGUE[request.model].files[0].sha256)


class Cell(Struct, frozen=True):
    """A puppet's turn at a task, and whether it is right."""

    turn: Turn
    right: bool


class Judge:
    """Reads replies as the live environment does, and holds answers against the right ones."""

    def __init__(self) -> None:
        self.sandbox = open_sandbox()
        self._ran: dict[str, tuple[bool, str]] = {}

    async def cell(self, task: Task, puppet: Puppet, reply: Reply) -> Cell:
        """Read a reply and judge it."""
        said = read(pattern(puppet.pattern), reply.text)
        checked: bool | None = None
        if isinstance(said, Program):
            if task.form == "code":
                text = said.code
                checked = (await self.run(f"{text}\nassert {task.example}\n"))[0]
            else:
                checked, text = await self.run(said.code)
        else:
            assert isinstance(said, Conclusion)
            text = said.answer
        answer = answer_in(task.form, text) if text else ""
        meaning = meaning_of(task.form, answer) if answer else ""
        right = False
        if task.form == "code" and answer:
            meaning = await self.outputs(task, answer)
            right = same_json(meaning, task.gold)
        elif task.form == "words":
            right = holds_all(answer, task.gold.split())
        elif task.form == "json":
            right = meaning == meaning_of("json", task.gold)
        elif answer:
            right = near(answer, task.gold)
        has_form = check_of(task.form, answer) if answer and checked is not False else None
        checked = checked if has_form is None else has_form
        turn = Turn(
            puppet=puppet,
            said=reply.text,
            answer=answer,
            meaning=meaning,
            finish=reply.finish,
            checked=checked,
            logprob=reply.logprob,
        )
        return Cell(turn, right)

    async def outputs(self, task: Task, code: str) -> str:
        """Return what a function gives for the probes: equal for functions that do the same."""
        probe = (
            f"{code}\nimport json as _json\n"
            f"print(_json.dumps([{task.function}(_x) for _x in _json.loads({task.probes!r})]))\n"
        )
        ok, printed = await self.run(probe)
        return printed.splitlines()[-1] if ok and printed else "(fails)"

    async def run(self, code: str) -> tuple[bool, str]:
        """Run code in the sandbox, once; return whether it ended well, and what it printed."""
        if code not in self._ran:
            outcome = await run_python(self.sandbox, code, limits=PROGRAM_LIMITS)
            self._ran[code] = outcome.ok, outcome.stdout.decode("utf-8", "replace").strip()
        return self._ran[code]


def same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def holds_all(text: str, words: list[str]) -> bool:
    told = re.findall(r"[a-z]+", text.lower())
    stems = [word[:-1] if word.endswith(("e", "y")) else word for word in words]
    return all(any(token.startswith(stem) for token in told) for stem in stems)


def near(answer: str, gold: str) -> bool:
    try:
        value, right = float(answer), float(gold)
    except ValueError:
        return False
    return abs(value - right) <= max(1e-3, 1e-6 * abs(right))


async def table(stand: Stand, judge: Judge, tasks: list[Task]) -> Table:
    """The tasks that every puppet has answered, as a table; what a call took is in CPU seconds."""
    puppets = tuple(Puppet(model=m, pattern=p) for m in MODELS for p in PATTERNS)
    kept: list[tuple[Task, list[Reply]]] = []
    for task in tasks:
        replies = [stand.known(one.model, one.pattern, task) for one in puppets]
        if all(reply is not None for reply in replies):
            kept.append((task, [reply for reply in replies if reply is not None]))
    cells = [
        [
            await judge.cell(task, puppet, reply)
            for puppet, reply in zip(puppets, replies, strict=True)
        ]
        for task, replies in kept
    ]
    return Table(
        puppets=puppets,
        texts=tuple(task.text for task, _ in kept),
        forms=tuple(task.form for task, _ in kept),
        turns=tuple(tuple(cell.turn for cell in row) for row in cells),
        right=np.array([[float(cell.right) for cell in row] for row in cells]),
        cost=np.array([[reply.cpu_us / 1e6 for reply in replies] for _, replies in kept]),
        tokens=np.array(
            [[float(r.input_tokens + r.output_tokens) for r in replies] for _, replies in kept]
        ),
    )
