"""The live bench's models, patterns and cache, and how a puppet's reply becomes a cell."""

from __future__ import annotations

import os
from pathlib import Path

from glasslipper.kernel.events import Folder
from glasslipper.kernel.messages import Request, Sampling
from glasslipper.kernel.ports import Attempted
from glasslipper.local import MODELS as CATALOGUE
from glasslipper.local import LocalModels
from glasslipper.puppeteer.exam import Task
from glasslipper.puppeteer.patterns import Seen, messages, pattern
from glasslipper.puppeteer.recall import Recall, Reply, key_of
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
        return self.recall.find(self._key(self.request(model, name, task)))

    async def ask(self, model: str, name: str, task: Task, *, keep: bool = True) -> Reply:
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
        await self.local.close()

    def _key(self, request: Request) -> str:
        return key_of(request, CATALOGUE[request.model].files[0].sha256)
