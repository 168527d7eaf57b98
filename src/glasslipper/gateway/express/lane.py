"""What is the same for every plain request of one client for one model.

A lane is found once and good for as long as its caller is remembered: whom the key speaks for, the
one endpoint of the model and its one price, and the bytes around what changes from request to
request. There is none where more than that must be looked at: several endpoints, prices that
depend on the hour or the size, keys that accounts brought along, labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from glasslipper.gateway.attempts import MOST_BILLED_NANOUSD
from glasslipper.gateway.auth import REMEMBER_MS, Caller
from glasslipper.gateway.desk import Caption
from glasslipper.gateway.dialects import chat as dialect
from glasslipper.gateway.dialects.chat.agent import AgentRequest, Toolkit
from glasslipper.gateway.dialects.chat.answer import calls_object
from glasslipper.gateway.dialects.chat.plain import PlainRequest
from glasslipper.gateway.dialects.envelope import Bill, Head
from glasslipper.gateway.endpoints import TURN_TOKENS, Endpoint, dearest_rates, tools_ceiling
from glasslipper.gateway.express.records import as_json, generation_template, intent_template
from glasslipper.gateway.express.template import NotPlain, quoted, template, text_mark
from glasslipper.gateway.house import House
from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.tally import Served
from glasslipper.kernel.events import Answer
from glasslipper.kernel.messages import Request, ToolCall
from glasslipper.kernel.money import PER, Price, amount_nanousd, split_nanousd, usd
from glasslipper.kernel.record import PriceRow
from glasslipper.kernel.usage import MOST_UNITS, Usage


class _Sample(NamedTuple):
    """Numbers that are found again in an answer: tokens, nano-USD charged, and prices."""

    prompt: int
    completion: int
    charged: int
    price: Price


_SAMPLES = (
    _Sample(98_765_431, 12_345_617, 876_543_211, Price(input=3_000_017, output=7_000_003)),
    _Sample(87_654_323, 23_456_789, 765_432_109, Price(input=5_000_011, output=9_000_001)),
)


class Lane:
    """A client's way to one endpoint."""

    def __init__(
        self,
        caller: Caller,
        endpoint: Endpoint,
        upstream: OpenAICompatible,
        row: PriceRow,
        ceiling: Price,
        caption: Caption,
        *,
        offered: Sequence[Endpoint],
        until_ms: float,
    ) -> None:
        self.caller = caller
        self.endpoint = endpoint
        self.upstream = upstream
        self.row = row
        self.caption = caption
        self.offered = offered
        self.until_ms = until_ms
        self.budgets = caller.account.budgets
        self.served = Served(endpoint.model, endpoint.provider, "chat", "ok")
        self.accounts = caller.account.path
        self._generations: dict[tuple[bool, bool, bool], bytes] = {}
        self._ceiling = ceiling
        self._dearest = dearest_rates(ceiling)
        price = row.price
        self._rates = (price.input, price.output, price.requests)

    def is_like(self, other: Lane) -> bool:
        """Whether the same would be written on both."""
        return (
            self.endpoint is other.endpoint
            and self.caller.account == other.caller.account
            and self.row == other.row
            and self._ceiling == other._ceiling
            and self.caption == other.caption
        )

    def ceiling_nanousd(
        self, ask: PlainRequest | AgentRequest, max_tokens: int | None
    ) -> tuple[int, int]:
        """Return the most units that go in, and the most that the exchange may cost.

        See `endpoints.cost_ceiling`.
        """
        units = most_units(ask)
        per_input, per_output, each = self._dearest
        rate = units * per_input + self.endpoint.output_bound(max_tokens) * per_output + each
        return units, -(-rate // PER)

    def cost_nanousd(self, prompt: int, completion: int) -> tuple[int, int]:
        """Return what so many tokens cost, in all and for the prompt.

        See `kernel.money.amount_nanousd` and `split_nanousd`.
        """
        per_input, per_output, each = self._rates
        prompt_rate = prompt * per_input
        return -(-(prompt_rate + completion * per_output + each) // PER), prompt_rate // PER

    @cached_property
    def asked(self) -> Request:
        """Stands for a request where nothing of it matters but the model."""
        return Request(model=self.endpoint.model, messages=(), stream=True)

    def head(self, generation_id: str, created_ms: int) -> Head:
        """Return what every frame of an answer says."""
        return Head(
            id=generation_id,
            model=self.endpoint.model,
            created_s=created_ms // 1000,
            provider=self.endpoint.provider,
        )

    @cached_property
    def whole_intent(self) -> bytes:
        """The line of an intent to be answered at once."""
        return intent_template(self.caller, self.endpoint, self.row, self._ceiling, streamed=False)

    @cached_property
    def stream_intent(self) -> bytes:
        """The line of an intent to be streamed."""
        return intent_template(self.caller, self.endpoint, self.row, self._ceiling, streamed=True)

    def generation(self, streamed: bool, with_tools: bool, with_calls: bool) -> bytes:
        """Return the line of a generation, by what it was offered and what it called."""
        kind = (streamed, with_tools, with_calls)
        found = self._generations.get(kind)
        if found is None:
            found = self._generations[kind] = generation_template(
                self.caller,
                self.endpoint,
                self.row,
                self.caption,
                streamed=streamed,
                with_tools=with_tools,
                with_calls=with_calls,
            )
        return found

    @cached_property
    def answer(self) -> bytes | None:
        """The body of an answer; `None` where the encoder does more than fill in.

        It takes the id, the time in s, the words as JSON, the reasons of the end as JSON, tokens
        in, out and in all, and the cost as charged, USD and nano-USD, and as billed, USD: in
        all, for the prompt, and for the rest. An amount in USD is two numbers: whole ones, and
        nano-USD (a float's own text takes longer to make than all else).
        """
        return self._form(())

    @cached_property
    def calling_answer(self) -> bytes | None:
        """The same of an answer that calls tools; it takes the calls after the words, as JSON."""
        return self._form((ToolCall(id="@@id@@", name="@@name@@", arguments="@@arguments@@"),))

    def _form(self, calls: tuple[ToolCall, ...]) -> bytes | None:
        try:
            first, second = [self._answer(sample, calls) for sample in _SAMPLES]
        except NotPlain:
            return None
        return first if first == second else None

    def _answer(self, sample: _Sample, calls: tuple[ToolCall, ...]) -> bytes:
        prompt, completion, charged, price = sample
        usage = Usage(input=prompt, output=completion, requests=1)
        billed = amount_nanousd(usage, price)
        written = dialect.encode_answer(
            Answer(
                text=text_mark(2),
                tool_calls=calls,
                finish="tool_calls" if calls else "stop",
                native_finish=text_mark(4),
                usage=None,
            ),
            Head(
                id=text_mark(0),
                model=self.endpoint.model,
                created_s=1_234_567_890,
                provider=self.endpoint.provider,
            ),
            Bill(usage=usage, cost_nanousd=charged, upstream_nanousd=billed, price=price),
        )
        amounts = [billed, *split_nanousd(usage, price)]
        return template(
            written,
            (
                (b"@@0@@", b"%b"),
                (b"1234567890", b"%d"),
                (quoted(2), b"%b"),
                *([(as_json(calls_object(calls)), b"%b")] if calls else []),
                (b'"tool_calls"' if calls else b'"stop"', b"%b"),
                (quoted(4), b"%b"),
                (b"%d" % prompt, b"%d"),
                (b"%d" % completion, b"%d"),
                (b"%d" % (prompt + completion), b"%d"),
                (in_usd(charged), b"%d.%09d"),
                (b"%d" % charged, b"%d"),
                *((in_usd(amount), b"%d.%09d") for amount in amounts),
            ),
        )


def most_units(ask: PlainRequest | AgentRequest) -> int:
    """Return the most units that go in; see `endpoints.input_ceiling`."""
    if isinstance(ask, AgentRequest):
        return _agent_units(ask)
    units = TURN_TOKENS
    for turn in ask.messages:
        text = turn.content
        units += TURN_TOKENS + (len(text) if text.isascii() else len(text.encode()))
    return units


def _agent_units(ask: AgentRequest) -> int:
    """Return the most units of words, of calls in the conversation, and of the tools offered."""
    units = TURN_TOKENS + (0 if ask.toolkit is None else _toolkit_units(ask.toolkit))
    for turn in ask.messages:
        units += TURN_TOKENS + sum([len(text.encode()) for text in turn.texts])
        for call in turn.tool_calls or ():
            function = call.function
            units += len(function.name) + len(function.arguments.encode()) + TURN_TOKENS
    return units


@lru_cache(maxsize=64)
def _toolkit_units(toolkit: Toolkit) -> int:
    return tools_ceiling(toolkit.tools)


def _may_be_capped(price: Price) -> bool:
    """Whether a call might be billed more than is believed; the usual way sees to that."""
    most = Usage(input=MOST_UNITS, output=MOST_UNITS, requests=1)
    return amount_nanousd(most, price) > MOST_BILLED_NANOUSD


def in_usd(nanousd: int) -> bytes:
    """Return an amount in USD as JSON writes it."""
    return repr(usd(nanousd)).encode()


def find_lane(
    house: House, caller: Caller, model: str, caption: Caption, *, known: Lane | None = None
) -> Lane | None:
    """Return the lane of a caller to a model, or `None` where the usual way must be taken.

    Where nothing has changed since `known` was found, it is good for longer.

    Raises:
        ModelUnknown: It is not offered.
    """
    offered = house.offer.find(model)
    desk = house.desk
    if len(offered) != 1 or not desk.keyring.is_empty or desk.on_settled is not None:
        return None
    endpoint = offered[0]
    upstream, tariff = endpoint.upstream, endpoint.pricing.tariff
    if type(upstream) is not OpenAICompatible or tariff is None or endpoint.uncharged:
        return None
    if endpoint.is_byok or not tariff.is_constant:
        return None
    now_ms = house.clock.now_ms()
    row, ceiling = endpoint.pricing.row(now_ms, 1), endpoint.pricing.ceiling(now_ms, 1)
    if row is None or ceiling is None or _may_be_capped(row.price):
        return None
    left_ms = REMEMBER_MS
    if caller.key.usable_until_ms is not None:
        left_ms = min(left_ms, caller.key.usable_until_ms - now_ms)
    until_ms = house.clock.ticks_ms() + left_ms
    lane = Lane(
        caller, endpoint, upstream, row, ceiling, caption, offered=offered, until_ms=until_ms
    )
    if known is None or not lane.is_like(known):
        return lane
    known.caller, known.until_ms = caller, until_ms
    return known
