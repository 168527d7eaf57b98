"""The live environment: an episode over real models, one turn at a time.

It asks puppets through a `kernel.ports.Caller`, reads their replies by their patterns, uses the
tools that a pattern needs, and keeps the turns. It decides nothing. What a puppet says reaches
others only through the patterns that read the work so far.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence

from msgspec import Struct, field, structs

from glasslipper.kernel.errors import GlasslipperError, UpstreamTimeout
from glasslipper.kernel.events import Answer, Event, Finished, Folder, Started, TextDelta
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Caller, Limits, Playable, Receipt, Sandbox, Tools
from glasslipper.puppeteer.forms import answer_in, check_of, form_of, meaning_of
from glasslipper.puppeteer.patterns import (
    Conclusion,
    FileWanted,
    Pattern,
    Program,
    Seen,
    ToolWanted,
    messages,
    pattern,
    read,
)
from glasslipper.puppeteer.turns import PLAIN, Bid, Puppet, Turn, leading
from glasslipper.sandbox import run_python

PROGRAM_LIMITS = Limits(wall_s=5, cpu_s=4, memory_bytes=256 << 20, output_bytes=16 << 10)
"""What a model's program may take."""

MOST_REFUSALS = 12
"""So many calls that nobody heard of do not count as calls."""

_CHARS_PER_TOKEN = 4
_EXPECTED_OUTPUT = 256
_CLOCK_S = 0.05
_TIME_IS_UP = "The time that the request allows is up."


class Props(Struct, frozen=True, kw_only=True):
    """What lies ready on the stage: a sandbox, tools by their names, files by theirs."""

    sandbox: Sandbox | None = None
    tools: Tools | None = None
    tool_names: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])


class Stage:
    """One episode."""

    def __init__(
        self,
        request: Request,
        caller: Caller,
        *,
        props: Props | None = None,
        labels: Mapping[str, str] | None = None,
        max_nanousd: int | None = None,
        ends_s: float | None = None,
    ) -> None:
        """Play for a request; `ends_s` is when the time is up, by the monotonic clock."""
        self.request = request
        self.task = next((one.text for one in reversed(request.messages) if one.role == "user"), "")
        self.form = form_of(request, self.task)
        self.turns: list[Turn] = []
        self._shown: list[Turn] = []
        self.receipts: list[Receipt] = []
        self._heard: list[list[Event]] = []
        self._call_of: dict[int, int] = {}
        self._caller = caller
        self.models: Mapping[str, Playable] = {one.model: one for one in caller.models(request)}
        self._props = props or Props()
        self._labels = labels or {}
        self._max_nanousd = max_nanousd
        self._ends_s = ends_s

    @property
    def left_nanousd(self) -> int | None:
        """What may still be spent."""
        if self._max_nanousd is None:
            return None
        return max(self._max_nanousd - sum(one.spent_nanousd for one in self.receipts), 0)

    @property
    def is_late(self) -> bool:
        """Whether the time is up, but for what a clock may be off."""
        return self._ends_s is not None and time.monotonic() > self._ends_s - _CLOCK_S

    @property
    def charged_nanousd(self) -> int:
        """What has been charged."""
        return sum(receipt.charged_nanousd for receipt in self.receipts)

    @property
    def calls(self) -> int:
        """How many calls have been made; refusals, too, once there are very many."""
        made = sum(receipt.called for receipt in self.receipts)
        return max(made, len(self.receipts) - MOST_REFUSALS)

    def call_of(self, turn: Turn) -> int:
        """Return which call brought a turn, counted from 0."""
        return self._call_of[id(turn)]

    def within(self, script: Request, nanousd: int) -> tuple[Request, int]:
        """Return a script as an amount can pay for it; see `kernel.ports.Caller`."""
        return self._caller.within(script, nanousd)

    def heard(self, call: int) -> list[Event]:
        """Return all that a call brought, as it came."""
        return self._heard[call]

    def events_of(self, turn: Turn) -> list[Event]:
        """Return a turn's answer as the client is to hear it."""
        heard = self._heard[self.call_of(turn)]
        if turn.puppet.pattern == PLAIN:
            return heard
        started = [event for event in heard if isinstance(event, Started)]
        return [*started, TextDelta(text=turn.answer), Finished(reason="stop")]

    def bids(self, puppets: Sequence[Puppet], *, warm: str | None = None) -> list[Bid]:
        """Return what each puppet is expected to cost, cheapest first; who cannot act is left out.

        Asking another model than the `warm` one forgoes the prompt that its provider has cached:
        the difference is part of the others' cost.
        """
        prices = self.models
        size = sum(len(one.text) for one in self.request.messages) // _CHARS_PER_TOKEN + 1
        kept = prices.get(warm) if warm else None
        lost = 0 if kept is None else size * max(kept.input - kept.cached, 0) // 1_000_000
        found: list[Bid] = []
        for puppet in puppets:
            price = prices.get(puppet.model)
            if price is None or not self._is_ready(puppet):
                continue
            rate = price.cached if puppet.model == warm else price.input
            output = min(self.request.sampling.max_tokens or _EXPECTED_OUTPUT, _EXPECTED_OUTPUT)
            cost = (size * rate + output * price.output) // 1_000_000
            found.append(
                Bid(puppet=puppet, expected_nanousd=cost + (0 if puppet.model == warm else lost))
            )
        return sorted(found, key=lambda bid: bid.expected_nanousd)

    def script(self, puppet: Puppet, *, logprobs: bool = False) -> Request:
        """Return what a puppet would be asked now."""
        if puppet.pattern == PLAIN:
            asked = structs.replace(self.request, model=puppet.model)
        else:
            asked = self._patterned(puppet, pattern(puppet.pattern))
        if logprobs and not asked.sampling.logprobs:
            sampling = structs.replace(asked.sampling, logprobs=True)
            asked = structs.replace(asked, sampling=sampling)
        return asked

    async def act(self, puppet: Puppet, *, logprobs: bool = False) -> Turn:
        """Let a puppet act; return its turn.

        Raises:
            GlasslipperError: It could not; what was charged is on the last receipt.
        """
        async for _ in self.listen(puppet, logprobs=logprobs):
            pass
        return await self.take_in(puppet)

    async def listen(self, puppet: Puppet, *, logprobs: bool = False) -> AsyncIterator[Event]:
        """Let a puppet act and yield its events as they come; then `take_in` its turn.

        Raises:
            UpstreamTimeout: The time was up.
            GlasslipperError: It could not act.
        """
        receipt = Receipt()
        self.receipts.append(receipt)
        self._heard.append([])
        request, ceiling = self._caller.within(
            self.script(puppet, logprobs=logprobs), self.left_nanousd
        )
        bound = ceiling if self._max_nanousd is not None else None
        events = self._caller.call(
            request,
            ceiling_nanousd=bound,
            receipt=receipt,
            labels={**self._labels, "step": str(len(self.receipts)), "puppet": puppet.name},
        )
        async for event in within_time(events, self._ends_s):
            self._heard[-1].append(event)
            yield event

    async def take_in(self, puppet: Puppet) -> Turn:
        """Read what a puppet said into a turn, and remember it.

        Raises:
            UpstreamTimeout: The time was up before a tool or a program was done.
        """
        folder = Folder()
        for event in self._heard[-1]:
            folder.add(event)
        left_s = None if self._ends_s is None else self._ends_s - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                turn = await self._turn(puppet, folder.answer())
        except TimeoutError:
            raise UpstreamTimeout(_TIME_IS_UP) from None
        self._call_of[id(turn)] = len(self._heard) - 1
        self.turns += [turn, *self._shown]
        self._shown.clear()
        return turn

    async def _turn(self, puppet: Puppet, answer: Answer) -> Turn:
        receipt = self.receipts[-1]
        logprobs = [token.logprob for token in answer.logprobs]
        text, checked = await self._read(puppet, answer)
        found = answer_in(self.form, text) if text else ""
        if text.strip() and not found:
            found, checked = text.strip(), False  # better than no answer
        elif found and checked is not False:
            has_form = check_of(self.form, found)
            checked = checked if has_form is None else has_form
        if answer.tool_calls:
            found = found or "(a tool call)"
        return Turn(
            puppet=puppet,
            said=answer.text,
            answer=found,
            meaning=meaning_of(self.form, found) if found else "",
            finish=answer.finish or "error",
            checked=checked,
            logprob=sum(logprobs) / len(logprobs) if logprobs else None,
            usage=receipt.usage,
            cost_nanousd=receipt.charged_nanousd,
        )

    async def _read(self, puppet: Puppet, answer: Answer) -> tuple[str, bool | None]:
        """Return what a reply answers to the task, and whether a check was passed."""
        if puppet.pattern == PLAIN:
            return answer.text, None
        match read(pattern(puppet.pattern), answer.text):
            case Conclusion(answer=text):
                return text, None
            case Program(code=code):
                return await self._run(code)
            case FileWanted(name=name):
                self._show(self._props.files.get(name, f"There is no file {name!r}."))
            case ToolWanted(name=name, arguments=arguments):
                await self._use(name, arguments)
            case _:
                pass
        return "", None

    async def _run(self, code: str) -> tuple[str, bool | None]:
        if not code or self._props.sandbox is None:
            return "", False
        outcome = await run_python(self._props.sandbox, code, limits=PROGRAM_LIMITS)
        if self.form == "code":
            return code, outcome.ok
        return outcome.stdout.decode("utf-8", "replace").strip(), outcome.ok

    async def _use(self, name: str, arguments: Mapping[str, object]) -> None:
        if self._props.tools is None or not name:
            self._show("No tool was called.")
            return
        try:
            result = await self._props.tools.call(name, arguments)
        except GlasslipperError as error:
            self._show(f"The tool {name} was not called: {error.message}")
        else:
            self._show(result.text)

    def _show(self, text: str) -> None:
        """Let whoever comes next see what a tool gave."""
        self._shown.append(Turn(puppet=Puppet(model="tool", pattern="result"), said=text))

    def _patterned(self, puppet: Puppet, way: Pattern) -> Request:
        lead = leading(self.turns)
        rules = [one.text for one in self.request.messages if one.role in ("system", "developer")]
        seen = Seen(
            task=self.task,
            rules="\n\n".join(rules),
            leading=lead.answer if lead else "",
            history=[(turn.puppet.name, turn.said) for turn in self.turns],
            files=tuple(self._props.files),
            tools=self._props.tool_names,
        )
        most = self.request.sampling.max_tokens
        sampling = structs.replace(
            self.request.sampling,
            max_tokens=way.max_tokens if most is None else min(most, way.max_tokens),
            stop=way.stop or self.request.sampling.stop,
        )
        return structs.replace(
            self.request, model=puppet.model, messages=messages(way, seen), sampling=sampling
        )

    def _is_ready(self, puppet: Puppet) -> bool:
        """Whether a puppet has what its pattern needs."""
        if puppet.pattern == PLAIN:
            return True
        way = pattern(puppet.pattern)
        if way.reads == "leading" and leading(self.turns) is None:
            return False
        match way.tool:
            case "python":
                return self._props.sandbox is not None
            case "file":
                return bool(self._props.files)
            case "mcp":
                return self._props.tools is not None and bool(self._props.tool_names)
            case None:
                return True


async def within_time(events: AsyncIterator[Event], ends_s: float | None) -> AsyncIterator[Event]:
    """Yield events until the time is up; then stop whoever makes them.

    Raises:
        UpstreamTimeout: It was.
    """
    try:
        while True:
            left = None if ends_s is None else ends_s - time.monotonic()
            try:
                async with asyncio.timeout(left):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise UpstreamTimeout(_TIME_IS_UP) from None
            yield event
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
