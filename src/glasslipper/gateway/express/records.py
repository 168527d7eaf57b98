"""The lines of an intent and of a generation, for plain exchanges that go well.

They say what `Exchange` would record of the same exchange.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from glasslipper.gateway.auth import Caller
from glasslipper.gateway.desk import Caption
from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.express.template import quoted, template, text_mark
from glasslipper.kernel.money import Price
from glasslipper.kernel.record import Attempt, Candidate, Generation, Intent, PriceRow
from glasslipper.ledger import lines

as_json = msgspec.json.Encoder().encode
"""Return a value as JSON."""

ONLY = "only"


def _mark(number: int) -> Any:
    """Return a mark where a number or a structure belongs; nothing checks types at encoding."""
    return cast("Any", text_mark(number))


def intent_template(
    caller: Caller, endpoint: Endpoint, row: PriceRow, ceiling: Price, *, streamed: bool
) -> bytes:
    """Return the line of an intent.

    It takes ids of generation and attempt, the time in ms, units of input, the hold, the cell and
    the user as JSON.
    """
    account = caller.account
    line = lines.encode(
        Intent(
            generation_id=text_mark(0),
            attempt_id=text_mark(1),
            created_ms=_mark(2),
            key_id=account.key_id,
            accounts=account.path,
            model=endpoint.model,
            endpoint=endpoint.id,
            provider=endpoint.provider,
            dialect="chat",
            streamed=streamed,
            input_units=_mark(3),
            held_nanousd=_mark(4),
            price=msgspec.structs.replace(row, price=ceiling),
            cell=_mark(5),
            user=text_mark(6),
            labels=dict(account.labels),
        )
    )
    numbers = [(quoted(number), b"%d") for number in range(2, 6)]
    return template(line, [(b"@@0@@", b"%b"), (b"@@1@@", b"%b"), *numbers, (quoted(6), b"%b")])


def generation_template(
    caller: Caller,
    endpoint: Endpoint,
    row: PriceRow,
    caption: Caption,
    *,
    streamed: bool,
    with_tools: bool = False,
    with_calls: bool = False,
) -> bytes:
    """Return the line of a generation.

    It takes the id, the time in ms, the reasons of the end as JSON (ours, the provider's), the
    time to the first token, the duration, tokens in and out, held, billed and charged nano-USD,
    the provider's id as JSON, the user as JSON; of the attempt its id, when it started, its
    duration, its time to the first token, the provider's id, and what it billed; the fingerprint
    of the system prompt as JSON, the user's turns and, `with_tools` and `with_calls`, how many
    were offered and called.
    """
    account = caller.account
    line = lines.encode(
        Generation(
            id=text_mark(10),
            created_ms=_mark(11),
            key_id=account.key_id,
            accounts=account.path,
            model=endpoint.model,
            dialect="chat",
            status="ok",
            model_served=endpoint.model,
            endpoint=endpoint.id,
            provider=endpoint.provider,
            streamed=streamed,
            finish_reason=_mark(12),
            native_finish_reason=_mark(13),
            first_token_ms=_mark(14),
            duration_ms=_mark(15),
            usage=_mark(16),
            held_nanousd=_mark(17),
            billed_nanousd=_mark(18),
            charged_nanousd=_mark(19),
            price_id=row.id,
            upstream_id=_mark(20),
            user=_mark(21),
            app=caption.app,
            referer=caption.referer,
            user_agent=caption.user_agent,
            labels=dict(account.labels),
            attempts=(
                Attempt(
                    id=text_mark(22),
                    endpoint=endpoint.id,
                    provider=endpoint.provider,
                    model=endpoint.upstream_model,
                    started_ms=_mark(23),
                    status="ok",
                    duration_ms=_mark(24),
                    first_token_ms=_mark(25),
                    upstream_id=_mark(26),
                    billed_nanousd=_mark(27),
                ),
            ),
            candidates=(Candidate(endpoint=endpoint.id, propensity=1.0, why=ONLY),),
            system_print=_mark(28),
            turns=_mark(29),
            tools_offered=_mark(30) if with_tools else 0,
            tools_called=_mark(31) if with_calls else 0,
        )
    )
    usage = b'{"input":%d,"output":%d,"requests":1}'
    kinds = {
        10: b"%b",
        22: b"%b",
        12: b"%b",
        13: b"%b",
        16: usage,
        20: b"%b",
        21: b"%b",
        26: b"%b",
        28: b"%b",
    }
    marks = [
        (
            f"@@{number}@@".encode() if number in (10, 22) else quoted(number),
            kinds.get(number, b"%d"),
        )
        for number in range(10, 30 + with_tools + with_calls)
    ]
    return template(line, marks)
