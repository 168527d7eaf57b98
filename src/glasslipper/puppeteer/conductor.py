"""Answers a request by episodes: what the gateway serves as `glasslipper/auto`.

One loop: look, decide, act, until the policy stops or a bound is reached. Money is reserved
before each call and never passed; a request with tools or of several turns, which a pattern's
words could spoil, reaches models untouched. Knows no wire format and no ledger.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import Struct, structs

from glasslipper.kernel.errors import (
    BudgetExhausted,
    GlasslipperError,
    ModelUnknown,
    NoEndpointLeft,
    PriceUnknown,
    UpstreamTimeout,
)
from glasslipper.kernel.events import (
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Spent,
    Started,
    TextDelta,
)
from glasslipper.kernel.messages import Request, TextPart
from glasslipper.kernel.ports import (
    Caller,
    Opening,
    Plan,
    Played,
    Receipt,
    Sandbox,
    Step,
    Voice,
)
from glasslipper.kernel.usage import Usage
from glasslipper.puppeteer import wishes as wishing
from glasslipper.puppeteer.guide import Guide
from glasslipper.puppeteer.opening import opening_of
from glasslipper.puppeteer.repertoire import Repertoire
from glasslipper.puppeteer.sessions import Session, Sessions
from glasslipper.puppeteer.stage import Props, Stage
from glasslipper.puppeteer.turns import PLAIN, Bid, Decision, Puppet, Turn, View, leading
from glasslipper.puppeteer.wishes import FAMILY, Asked
from glasslipper.tools import Toolbox

WHOLE_TOKENS = 64
"""An answer that may have so many tokens counts as whole when money is short."""

TOOLS_WAIT_S = 5.0
"""How long an episode waits to hear what tools there are."""

_MOST_REPLACED = 4
_log = logging.getLogger(__name__)


class _Scene(Struct, kw_only=True):
    """One episode as it goes on."""

    asked: Asked
    stage: Stage
    guide: Guide
    puppets: Sequence[Puppet]
    steps: list[Step]
    warm: str | None = None
    owner: str = ""
    failed: frozenset[str] = frozenset()
    failure: GlasslipperError | None = None
    unpaid: GlasslipperError | None = None
    stopped: str = ""
    answered: int = 0
    final: int | None = None
    luck: float = 0.5
    opening: Opening | None = None
    lead: Puppet | None = None


class Puppeteer:
    """A `kernel.ports.Conductor`."""

    def __init__(
        self,
        repertoire: Repertoire | None = None,
        *,
        sandbox: Callable[[], Sandbox | None] = lambda: None,
        tools: Toolbox | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """Conduct by the policy that runs where it fits, else by the untrained rule.

        `sandbox` is asked for one when a policy first has programs run, `tools` for what they offer
        when one has tools called.
        """
        self._policies = repertoire or Repertoire()
        self._sandbox = functools.cache(sandbox)
        self._toolbox = tools
        self._props = Props(tools=tools)
        self._sessions = sessions or Sessions()

    def conducts(self, model: str) -> bool:
        """Whether a model's name is of the family `glasslipper/auto`."""
        return wishing.conducts(model)

    def wants_steps(self, request: Request) -> bool:
        """Whether each step is to be told."""
        return wishing.asked(request).wishes.steps

    async def close(self) -> None:
        """End the servers of its tools, and let its sessions go."""
        self._sessions.close()
        if self._toolbox is not None:
            await self._toolbox.close()

    def cards(self) -> Mapping[str, Mapping[str, object]]:
        """Return each name with the card of the policy behind it."""
        self._look_around()
        first = self._policies.running.card()
        named = {f"{FAMILY}{variant}": first for variant in ("", ":fast", ":best")}
        each = self._policies.named.items()
        return named | {f"{FAMILY}@{version}": guide.card() for version, guide in each}

    def _look_around(self) -> None:
        if self._policies.is_stale:
            self._policies.refresh()

    def plan(self, request: Request, caller: Caller) -> Plan | None:
        """Return what would be done first, for a request that only asks for that."""
        asked = wishing.asked(request)
        if not asked.wishes.dry_run:
            return None
        self._look_around()
        scene = self._open(asked, caller)
        view = self._look(scene)
        decision = self._decide(scene, view)
        if decision.puppet is None:
            raise scene.unpaid or NoEndpointLeft(f"There is nobody to ask: {decision.why}.")
        script = scene.stage.script(decision.puppet)
        _, ceiling = caller.within(script, scene.stage.left_nanousd)
        costs = {bid.puppet.name: bid.expected_nanousd for bid in view.bids}
        return Plan(
            policy=scene.guide.version,
            puppet=decision.puppet.name,
            model=decision.puppet.model,
            why=decision.why,
            probability=decision.probability,
            ceiling_nanousd=ceiling,
            expected_nanousd=costs[decision.puppet.name],
            candidates=costs,
        )

    async def run(
        self, request: Request, caller: Caller
    ) -> AsyncIterator[Event | Step | Voice | Played]:
        """Play the episode."""
        asked = wishing.asked(request)
        scene = await self._begin(asked, caller, _ends_s(asked))
        streamed = False
        while True:
            decision = self._step(scene)
            if decision.puppet is None:
                scene.stopped, scene.lead = decision.why, decision.lead
                break
            is_aloud = _is_aloud(decision)
            if is_aloud and request.stream:
                async for event in _once_it_says(self._aloud(scene, decision)):
                    if not streamed:
                        yield _voice(scene.stage.receipts[-1])
                        streamed = True
                    yield event
                scene.answered = len(scene.stage.receipts) - 1
            else:
                await self._quietly(scene, decision)
            scene.final = _last_call(scene) if is_aloud else None
            yield scene.steps[-1]
            scene.stopped = _over(scene, streamed=streamed)
            if scene.stopped:
                break
        if not streamed:
            events = self._say(scene)
            yield _voice(scene.stage.receipts[scene.answered])
            for event in events:
                yield event
        await self._remember(scene)
        yield self._played(scene)

    # open

    async def _begin(self, asked: Asked, caller: Caller, ends_s: float | None) -> _Scene:
        if self._policies.is_stale:
            await asyncio.to_thread(self._policies.refresh)
        await self._lay_out_tools(asked, ends_s)
        return self._open(asked, caller, ends_s)

    def _open(self, asked: Asked, caller: Caller, ends_s: float | None = None) -> _Scene:
        found = [one for one in caller.models(asked.request) if asked.wishes.allows(one.model)]
        allowed = [one.model for one in found if one.able] or [one.model for one in found]
        if not allowed:
            raise ModelUnknown(
                "No model that is offered may be called here.",
                hint="Widen `auto.allow` and `auto.deny`, or fetch a model.",
            )
        session = self._session(asked, caller.owner)
        is_kept = session is not None and session.pinned and asked.wishes.pin != "none"
        if session is not None and is_kept and session.model in allowed:
            allowed = [session.model]
        chosen = self._named(asked)
        stage = Stage(
            asked.request,
            caller,
            props=self._props_for(chosen),
            labels={"conductor": FAMILY},
            max_nanousd=asked.wishes.max_nanousd,
            ends_s=ends_s,
        )
        single = _needs_one_voice(asked.request)
        puppets = [Puppet(model=model) for model in allowed]
        if not single:
            named = {puppet for puppet in chosen.puppets if puppet.pattern != PLAIN}
            puppets += sorted(puppet for puppet in named if puppet.model in allowed)
        seed = asked.wishes.seed
        scene = _Scene(
            asked=structs.replace(asked, calls=1) if asked.request.tools else asked,
            stage=stage,
            guide=chosen,
            puppets=puppets,
            steps=[],
            warm=session.model if session else None,
            owner=caller.owner,
            luck=(random.random() if seed is None else random.Random(seed).random()),  # noqa: S311
        )
        if not self._fits(scene):
            scene.guide = self._policies.rule
        return scene

    async def _lay_out_tools(self, asked: Asked, ends_s: float | None) -> None:
        """Ask for the tools, where the policy has a pattern that calls any."""
        toolbox = self._toolbox
        if toolbox is None or all(p.pattern != "tool" for p in self._named(asked).puppets):
            return
        half_s = TOOLS_WAIT_S if ends_s is None else (ends_s - time.monotonic()) / 2
        try:
            async with asyncio.timeout(min(half_s, TOOLS_WAIT_S)):
                lines = [one.line for one in await toolbox.list() if one.usable]
        except (GlasslipperError, TimeoutError) as error:
            _log.warning("the tools cannot be listed: %r", error)
            lines = []
        self._props = structs.replace(self._props, tool_names=tuple(lines))

    def _props_for(self, guide: Guide) -> Props:
        if all(puppet.pattern != "python" for puppet in guide.puppets):
            return self._props
        return structs.replace(self._props, sandbox=self._sandbox())

    def _named(self, asked: Asked) -> Guide:
        """Return the policy that a request names, or the one that runs."""
        if asked.version is None:
            return self._policies.running
        named = self._policies.named.get(asked.version)
        if named is None:
            raise ModelUnknown(
                f"There is no policy {asked.version!r}.",
                hint=f"There are {', '.join(self._policies.named)}.",
            )
        return named

    # look, decide

    def _look(self, scene: _Scene, *, payable: bool = True) -> View:
        stage = scene.stage
        usable = [puppet for puppet in scene.puppets if puppet.model not in scene.failed]
        left = stage.left_nanousd
        bids = stage.bids(usable, warm=scene.warm)
        if left is not None and payable:
            bids = self._payable(scene, bids, left)
        return View(
            request=stage.request,
            task=stage.task,
            form=stage.form,
            turns=tuple(stage.turns),
            bids=bids,
            dial=scene.asked.dial,
            calls_left=scene.asked.calls - stage.calls,
            left_nanousd=left,
            warm=scene.warm,
            luck=scene.luck,
        )

    @staticmethod
    def _payable(scene: _Scene, bids: Sequence[Bid], left_nanousd: int) -> list[Bid]:
        """Return the bids that what is left pays for; whole answers rather than cut ones."""
        whole: list[Bid] = []
        cut: list[Bid] = []
        scene.unpaid = None
        for bid in bids:
            script = scene.stage.script(bid.puppet)
            try:
                request, _ = scene.stage.within(script, left_nanousd)
            except (BudgetExhausted, PriceUnknown) as error:
                scene.unpaid = scene.unpaid or error
                continue
            wanted = min(script.sampling.max_tokens or WHOLE_TOKENS, WHOLE_TOKENS)
            room = request.sampling.max_tokens
            (whole if room is None or room >= wanted else cut).append(bid)
        return whole or cut

    def _step(self, scene: _Scene) -> Decision:
        """Look and decide; the first choice is kept for the record."""
        view = self._look(scene)
        decision = self._decide(scene, view)
        if scene.opening is None and decision.puppet is not None:
            shadow = self._policies.shadow if scene.asked.version is None else None
            scene.opening = opening_of(
                view,
                decision,
                rule=self._policies.rule,
                shadow=shadow,
                goes_on=scene.guide.goes_on,
            )
        return decision

    def _decide(self, scene: _Scene, view: View) -> Decision:
        if view.calls_left < 1 and not self._may_replace(scene, view):
            lead = self._guided(scene, view).lead if view.turns else None
            return Decision(puppet=None, why="the calls are used up", lead=lead)
        decision = self._guided(scene, view)
        if decision.puppet is not None and view.calls_left <= 1 and not view.turns:
            return structs.replace(decision, is_last=True)
        return decision

    def _guided(self, scene: _Scene, view: View) -> Decision:
        """Ask the policy; one that fails must not cost anybody an answer."""
        if scene.guide is not self._policies.rule:
            try:
                decision = scene.guide.decide(view)
                if decision.puppet is not None or view.turns or not view.bids:
                    return decision
            except Exception:  # noqa: BLE001 - said above
                _log.warning("%s failed: the rule goes on", scene.guide.version, exc_info=True)
            scene.guide = self._policies.rule
        return scene.guide.decide(view)

    def _fits(self, scene: _Scene) -> bool:
        try:
            return scene.guide.fits(self._look(scene, payable=False))
        except Exception:  # noqa: BLE001 - a policy must not cost anybody an answer
            _log.warning("%s failed: the rule serves", scene.guide.version, exc_info=True)
            return False

    @staticmethod
    def _may_replace(scene: _Scene, view: View) -> bool:
        """Whether a call that failed may be made up for, where the client set no bound."""
        return (
            scene.asked.wishes.max_calls is None
            and view.leading is None
            and len(scene.failed) < _MOST_REPLACED
        )

    # act

    async def _quietly(self, scene: _Scene, decision: Decision) -> None:
        async for _ in self._aloud(scene, decision):
            pass

    async def _aloud(self, scene: _Scene, decision: Decision) -> AsyncIterator[Event]:
        """Let the puppet act; what goes wrong is a step, and closes its model for the episode."""
        puppet, stage = decision.puppet, scene.stage
        assert puppet is not None  # noqa: S101 - the caller looked
        began_s = time.monotonic()
        turn: Turn | None = None
        status = "ok"
        is_said = False
        known = stage.models.get(puppet.model)
        local = known is not None and known.is_local
        try:
            async for event in stage.listen(puppet, logprobs=local and not decision.is_last):
                is_said = is_said or _says(event)
                yield event
            turn = await stage.take_in(puppet)
        except GlasslipperError as error:
            status = error.slug
            scene.failed = scene.failed | {puppet.model}
            scene.failure = error
            if is_said and _is_aloud(decision) and scene.asked.request.stream:
                raise
        receipt = stage.receipts[-1]
        scene.steps.append(
            Step(
                number=len(scene.steps) + 1,
                puppet=puppet.name,
                model=receipt.model or puppet.model,
                pattern=puppet.pattern,
                why=decision.why,
                probability=decision.probability,
                status=status,
                generation_id=receipt.generation_id,
                text=turn.answer if turn else "",
                usage=receipt.usage,
                charged_nanousd=receipt.charged_nanousd,
                spent_nanousd=receipt.spent_nanousd,
                duration_ms=int((time.monotonic() - began_s) * 1000),
                confidence=decision.confidence,
            )
        )

    # say

    def _say(self, scene: _Scene) -> list[Event]:
        """Return the events of the answer that leads."""
        if scene.final is not None:
            scene.answered = scene.final
            return scene.stage.heard(scene.final)
        turns = scene.stage.turns
        chosen = (turn for turn in turns if turn.answer and turn.puppet == scene.lead)
        lead = next(chosen, None) or leading(turns)
        if lead is None:
            raise (
                scene.failure
                or scene.unpaid
                or NoEndpointLeft(f"There is no answer: {scene.stopped}.")
            )
        scene.answered = scene.stage.call_of(lead)
        events = scene.stage.events_of(lead)
        if scene.stage.request.sampling.logprobs:
            return events
        return [
            TextDelta(text=event.text) if isinstance(event, TextDelta) else event
            for event in events
        ]

    def _played(self, scene: _Scene) -> Played:
        stage = scene.stage
        receipt = stage.receipts[scene.answered]
        return Played(
            replay_id=receipt.generation_id,
            policy=scene.guide.version,
            model=receipt.model,
            steps=tuple(scene.steps),
            usage=sum((one.usage for one in stage.receipts), Usage()),
            charged_nanousd=stage.charged_nanousd,
            why=scene.stopped,
            confidence=scene.steps[-1].confidence if scene.steps else None,
            opening=scene.opening,
        )

    # sessions

    def _session(self, asked: Asked, owner: str) -> Session | None:
        session_id = asked.request.session_id
        return None if session_id is None else self._sessions.get(owner, session_id)

    async def _remember(self, scene: _Scene) -> None:
        session_id = scene.asked.request.session_id
        if session_id is None:
            return
        known = self._sessions.get(scene.owner, session_id)
        pin = scene.asked.wishes.pin
        model = scene.steps[scene.answered].puppet.partition("#")[0]
        session = Session(model=model, pinned=pin == "session")
        if known is not None and known.pinned and pin not in ("session", "none"):
            session = known  # whoever else answered did so for once
        await self._sessions.put(scene.owner, session_id, session)


def _last_call(scene: _Scene) -> int | None:
    """Return the last call, unless it failed, or said nothing where another has answered."""
    last = len(scene.stage.receipts) - 1
    is_mute = not any(map(_says, scene.stage.heard(last)))
    if scene.steps[-1].status != "ok" or (is_mute and leading(scene.stage.turns) is not None):
        return None
    return last


async def _once_it_says(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Yield events once one of them says something: of one that never does, nothing is heard."""
    held: list[Event] = []
    is_said = False
    async for event in events:
        held.append(event)
        is_said = is_said or _says(event)
        if is_said:
            for one in held:
                yield one
            held.clear()


def _says(event: Event) -> bool:
    """Whether the client would hear of an answer by this event."""
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return bool(event.text)
        case Started() | Spent() | Finished():
            return False
        case _:
            return True


def _is_aloud(decision: Decision) -> bool:
    """Whether the client may hear what the puppet says while it says it."""
    return decision.is_last and decision.puppet is not None and decision.puppet.pattern == PLAIN


def _over(scene: _Scene, *, streamed: bool) -> str:
    """Return why nobody is asked any more; nothing if the policy is to say."""
    if streamed or scene.final is not None:
        return "the last call was answered"
    is_late = isinstance(scene.failure, UpstreamTimeout) and scene.stage.is_late
    return "the time is up" if is_late else ""


def _ends_s(asked: Asked) -> float | None:
    latency_ms = asked.wishes.max_latency_ms
    return None if latency_ms is None else time.monotonic() + latency_ms / 1000


def _voice(receipt: Receipt) -> Voice:
    return Voice(generation_id=receipt.generation_id, model=receipt.model)


def _needs_one_voice(request: Request) -> bool:
    """Whether others' words could spoil a request: tools, pictures, several turns, a schema."""
    talks = [one for one in request.messages if one.role not in ("system", "developer")]
    return (
        bool(request.tools or request.hosted)
        or request.response_format.kind != "text"
        or len(talks) != 1
        or any(not isinstance(part, TextPart) for one in talks for part in one.parts)
    )
