"""Labels settled exchanges with what they were about, beside the hot path.

An exchange that has been recorded is put into a queue; labels are made in a thread and noted as
late facts of kind `topic`. Where a judge is wished for, a random sample is also put to a language
model, as an exchange like any other on the key that pays for judging; its verdicts are facts of
kind `judged`. What a sample is, follows from the generation's id alone, so nobody's content
decides it. A queue that is full drops requests, and the tally says how many. Words are forgotten
with the queue, unless `keep_prompts` says to keep a share of the prompts (kind `prompt`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine

import msgspec
from msgspec import Struct

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption, Desk
from glasslipper.gateway.endpoints import Offer
from glasslipper.gateway.exchange import Exchange
from glasslipper.gateway.routing import choices
from glasslipper.kernel.errors import GlasslipperError, KeyDisabled, SetupMissing
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.messages import Request, TextPart
from glasslipper.kernel.ports import Judge, Labeller
from glasslipper.kernel.record import JUDGED_FACT, TOPIC_FACT, Generation, LateFact, Topic
from glasslipper.ledger.read import Accounts

PROMPT_FACT = "prompt"
MOST_WAITING = 2_000
MOST_WAITING_FOR_JUDGE = 200
MOST_KEPT_CHARACTERS = 20_000
AT_ONCE = 16
"""Requests that are labelled in one visit to the thread."""

APP = "glasslipper judge"
"""As whose calls the judge's exchanges stand in the ledger."""

_NOT_LABELLED = frozenset({"embeddings"})

_Work = Callable[[], Coroutine[None, None, None]]

_log = logging.getLogger(__name__)


class Payer(Struct, frozen=True, kw_only=True):
    """A model that judges a share of the requests, and the key that pays: its name or its id."""

    judge: Judge
    share: float
    key: str


class _Waiting(Struct, frozen=True):
    generation_id: str
    key_id: str
    workload: str
    request: Request


class Labelling:
    """The labels of one process."""

    def __init__(
        self,
        desk: Desk,
        labeller: Labeller,
        *,
        offer: Offer,
        accounts: Accounts,
        payer: Payer | None = None,
        keep_prompts: float = 0.0,
    ) -> None:
        """Label what the desk settles; sampled requests go to the payer's judge.

        Raises:
            SetupMissing: There is no such key to pay the judge with.
        """
        self._desk = desk
        self._labeller = labeller
        self._offer = offer
        self._accounts = accounts
        self._payer = payer
        self._keep_prompts = keep_prompts
        self._waiting: deque[_Waiting] = deque()
        self._for_judge: deque[_Waiting] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._own: set[str] = set()
        self._closed = False
        self._paying_id = "" if payer is None else self._find_key(payer.key)
        desk.on_settled = self.see

    def see(self, record: Generation, request: Request) -> None:
        """Take in an exchange that has been recorded; returns at once."""
        is_own = record.id in self._own
        if is_own or record.dialect in _NOT_LABELLED or self._closed:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._desk.tally.skip("topic")
            return
        workload = f"{record.key_id}/{record.app or ''}/{record.system_print or ''}"
        self._waiting.append(_Waiting(record.id, record.key_id, workload, request))
        self._keep_going("label", self._label_all)

    async def close(self) -> None:
        """Label what waits; what waits for the judge is given up."""
        self._closed = True
        judging = self._tasks.pop("judge", None)
        if judging is not None:
            judging.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if judging is not None:
            await asyncio.gather(judging, return_exceptions=True)

    def _keep_going(self, name: str, work: _Work) -> None:
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(work())

    async def _label_all(self) -> None:
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            labels = await asyncio.to_thread(self._label, some)
            for one, topic in zip(some, labels, strict=True):
                await self._finish(one, topic)

    def _label(self, some: list[_Waiting]) -> list[Topic | None]:
        return [self._label_one(one) for one in some]

    def _label_one(self, one: _Waiting) -> Topic | None:
        try:
            return self._labeller.label(one.request, one.workload)
        except Exception:  # noqa: BLE001 - the edge: a label is never worth a failure
            _log.exception("labelling %s failed", one.generation_id)
            return None

    async def _finish(self, one: _Waiting, topic: Topic | None) -> None:
        if topic is not None:
            await self._note(one, TOPIC_FACT, msgspec.to_builtins(topic))
        if drawn(one.generation_id, PROMPT_FACT, self._keep_prompts):
            await self._note(one, PROMPT_FACT, _prompt(one.request))
        payer = self._payer
        if payer is None or not drawn(one.generation_id, JUDGED_FACT, payer.share):
            return
        if len(self._for_judge) >= MOST_WAITING_FOR_JUDGE or self._closed:
            self._desk.tally.skip("judged")
            return
        self._for_judge.append(one)
        self._keep_going("judge", self._judge_all)

    async def _judge_all(self) -> None:
        while self._for_judge and self._payer is not None:
            one = self._for_judge.popleft()
            try:
                topic = await self._judge(one, self._payer)
            except GlasslipperError as error:
                _log.warning("judging %s failed: %s", one.generation_id, error)
                topic = None
            if topic is None:
                self._desk.tally.skip("judged")
            else:
                await self._note(one, JUDGED_FACT, msgspec.to_builtins(topic))

    async def _judge(self, one: _Waiting, payer: Payer) -> Topic | None:
        question = payer.judge.question(one.request)
        if question is None:
            return None
        caller = self._paying()
        async with Exchange(
            self._desk,
            caller,
            question,
            offered=choices(self._offer, question),
            caption=Caption(dialect="chat", app=APP),
        ) as exchange:
            self._own.add(exchange.id)
            try:
                await exchange.begin()
                answer = (await exchange.whole()).answer()
                await exchange.settle()
            finally:
                self._own.discard(exchange.id)
        return payer.judge.read(one.request, answer.text)

    def _find_key(self, wanted: str) -> str:
        for key in self._accounts.keys():
            if wanted and wanted in {key.id, key.name, key.hash.hex()}:
                return key.id
        raise SetupMissing(
            f"There is no key {wanted!r} to pay the judge with.",
            hint="Make one with `glasslipper keys create judge --limit 5`, and set `judge_key` to "
            "its name.",
        )

    def _paying(self) -> Caller:
        """Return whom the judge's calls are charged to, as things stand now."""
        key = self._accounts.key(self._paying_id)
        if key is None or key.disabled or key.disabled_above:
            raise KeyDisabled("The key that pays the judge is disabled.")
        return Caller(key)

    async def _note(self, one: _Waiting, kind: str, body: dict[str, object]) -> None:
        fact = LateFact(
            id=new_id("fact"),
            kind=kind,
            noted_ms=self._desk.clock.now_ms(),
            key_id=one.key_id,
            generation_id=one.generation_id,
            body=body,
        )
        try:
            await self._desk.ledger.recorder.note(fact)
        except GlasslipperError as error:
            _log.warning("noting what %s is about failed: %s", one.generation_id, error)
            self._desk.tally.skip(kind)


def drawn(generation_id: str, purpose: str, share: float) -> bool:
    """Tell whether a generation is in the sample of a purpose, which is a share of all."""
    digest = hashlib.blake2b(f"{purpose}:{generation_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _prompt(request: Request) -> dict[str, object]:
    """Return what is kept of a prompt; with all its turns where they could be asked again."""
    kept: dict[str, object] = {"text": _words(request)}
    turns = [{"role": turn.role, "content": turn.text} for turn in request.messages]
    is_plain = not request.tools and all(
        turn.role != "tool"
        and not turn.tool_calls
        and all(isinstance(part, TextPart) for part in turn.parts)
        for turn in request.messages
    )
    if is_plain and sum(len(turn["content"]) for turn in turns) <= MOST_KEPT_CHARACTERS:
        kept["messages"] = turns
        kept["max_tokens"] = request.sampling.max_tokens
        kept["as_json"] = request.response_format.kind != "text"
    return kept


def _words(request: Request) -> str:
    """Return what the user said, at most `MOST_KEPT_CHARACTERS` of its end."""
    turns = [turn.text for turn in request.messages if turn.role == "user"]
    return "\n\n".join(turns)[-MOST_KEPT_CHARACTERS:]
