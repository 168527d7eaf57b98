"""Feedback: how good an answer was, or how another model's answer to the same prompt compares.

Rewards are about a generation or a session, comparisons about a generation. Both are late facts
beside the record. Whoever may see a generation may judge it; the last word of a key about the
same thing counts, and all words are kept.
"""

from __future__ import annotations

import asyncio
import math
from typing import Literal

import msgspec
from msgspec import Struct, field

from glasslipper.gateway.api.account import may_see
from glasslipper.gateway.api.shapes import Named, NamedAnswer
from glasslipper.gateway.auth import Caller
from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.kernel.errors import GenerationUnknown, InvalidRequest
from glasslipper.kernel.ids import new_id
from glasslipper.kernel.record import COMPARED_FACT, LateFact

MOST_COMMENT_LETTERS = 1_000
MOST_NAME_LETTERS = 256


class Judgement(Struct, frozen=True, kw_only=True):
    """The body: a reward, conventionally between 0 and 1, and what it is about."""

    reward: float
    generation_id: str | None = None
    session_id: str | None = None
    category: str | None = None
    comment: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])


class Comparison(Struct, frozen=True, kw_only=True):
    """The body: which answer is better, the given one (`this`) or that of `model` (`other`)."""

    generation_id: str
    model: str
    better: Literal["this", "other", "neither"]
    judged_by: str = ""


_comparisons = msgspec.json.Decoder(Comparison)
_judgements = msgspec.json.Decoder(Judgement)


async def give(house: House, http: Http) -> None:
    """Answer `POST /generation/feedback`."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    said = parse(await read_body(house, http), _judgements)
    if (said.generation_id is None) == (said.session_id is None):
        raise InvalidRequest("Say either `generation_id` or `session_id`.", param="$")
    if not math.isfinite(said.reward):
        raise InvalidRequest("A reward is a finite number.", param="$.reward")
    if len(said.comment or "") > MOST_COMMENT_LETTERS:
        raise InvalidRequest(
            f"A comment has at most {MOST_COMMENT_LETTERS} letters.", param="$.comment"
        )
    if said.generation_id is not None:
        await _check_seen(house, caller, said.generation_id)
    fact = LateFact(
        id=new_id("fact"),
        kind="feedback",
        noted_ms=house.clock.now_ms(),
        key_id=caller.key.id,
        generation_id=said.generation_id,
        session_id=said.session_id,
        body={
            "reward": said.reward,
            "category": said.category,
            "comment": said.comment,
            "metadata": said.metadata,
        },
    )
    await house.ledger.recorder.note(fact)
    await http.reply(201, msgspec.json.encode(NamedAnswer(Named(fact.id))))


async def compare(house: House, http: Http) -> None:
    """Answer `POST /generation/comparison`."""
    caller = house.gatekeeper.admit(http.header(b"authorization"))
    said = parse(await read_body(house, http), _comparisons)
    if max(len(said.model), len(said.judged_by)) > MOST_NAME_LETTERS or not said.model:
        raise InvalidRequest(f"A name has 1 to {MOST_NAME_LETTERS} letters.", param="$.model")
    await _check_seen(house, caller, said.generation_id)
    fact = LateFact(
        id=new_id("fact"),
        kind=COMPARED_FACT,
        noted_ms=house.clock.now_ms(),
        key_id=caller.key.id,
        generation_id=said.generation_id,
        body={"model": said.model, "better": said.better, "judged_by": said.judged_by},
    )
    await house.ledger.recorder.note(fact)
    await http.reply(201, msgspec.json.encode(NamedAnswer(Named(fact.id))))


async def _check_seen(house: House, caller: Caller, generation_id: str) -> None:
    found = await asyncio.to_thread(house.history.generation, generation_id)
    if found is None or not may_see(caller, found):
        raise GenerationUnknown(f"There is no generation {generation_id!r} of this key.")
