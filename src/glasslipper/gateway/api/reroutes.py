"""The rules that another model answers a workload: `/admin/routes`, for managers."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from glasslipper.gateway.api.shapes import Deleted
from glasslipper.gateway.dialects.body import parse
from glasslipper.gateway.house import House
from glasslipper.gateway.http import Http
from glasslipper.gateway.reading import read_body
from glasslipper.gateway.routing import split_variant
from glasslipper.kernel.clock import iso
from glasslipper.kernel.errors import InvalidRequest, ModelUnknown, NotFound
from glasslipper.kernel.ids import new_id
from glasslipper.ledger.reroutes import Reroute, parts_of
from glasslipper.ledger.write import reroutes as kept

MOST_AT_ONCE = 1_000

_encode = msgspec.json.Encoder().encode


class RerouteWish(Struct, frozen=True, kw_only=True, rename={"asked": "from"}):
    """The body: which workloads, from which model (any, if left out), to which."""

    workloads: tuple[str, ...]
    to: str
    asked: str | None = None


class RerouteShown(Struct, frozen=True, kw_only=True, rename={"asked": "from"}):
    """A rule. Without `from` it concerns whatever model is asked for."""

    id: str
    workload: str
    asked: str | None
    to: str
    created_at: str


class ReroutesAnswer(Struct, frozen=True):
    """Rules, the oldest first."""

    data: list[RerouteShown]


_wishes = msgspec.json.Decoder(RerouteWish)


async def listing(house: House, http: Http) -> None:
    """Answer `GET /admin/routes`: every rule."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    shown = [_shown(rule) for rule in house.accounts.reroutes()]
    await http.reply(200, _encode(ReroutesAnswer(shown)))


async def create(house: House, http: Http) -> None:
    """Answer `POST /admin/routes`: let another model answer workloads, all of them or none."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    wish = parse(await read_body(house, http), _wishes)
    await _check_offered(house, wish.to)
    asked = split_variant(wish.asked or "")[0]
    if asked == wish.to:
        raise InvalidRequest(f"{asked} answers them already.", param="$.to")
    if not 0 < len(wish.workloads) <= MOST_AT_ONCE:
        raise InvalidRequest(f"Name 1 to {MOST_AT_ONCE} workloads.", param="$.workloads")
    now_ms = house.clock.now_ms()
    rules = [_rule(workload, asked, wish.to, now_ms) for workload in wish.workloads]
    await house.ledger.change(lambda db: kept.add(db, rules))
    await house.suppliers.refresh()
    await http.reply(201, _encode(ReroutesAnswer([_shown(rule) for rule in rules])))


async def delete(house: House, http: Http, rule_id: str) -> None:
    """Answer `DELETE /admin/routes/{id}`: the models asked for answer again."""
    house.gatekeeper.admit_manager(http.header(b"authorization"))
    if not await house.ledger.change(lambda db: kept.remove(db, rule_id)):
        raise NotFound(
            f"There is no rule {rule_id!r}.", hint="`glasslipper route list` shows them."
        )
    await house.suppliers.refresh()
    await http.reply(200, _encode(Deleted(deleted=True, id=rule_id)))


async def _check_offered(house: House, model: str) -> None:
    """Make sure that a model is offered, here or since a moment by another process."""
    try:
        house.offer.find(model)
    except ModelUnknown:
        if not await house.suppliers.catch_up():
            raise
        house.offer.find(model)


def _rule(workload: str, asked: str, to: str, now_ms: int) -> Reroute:
    parts = parts_of(workload)
    if parts is None:
        raise InvalidRequest(
            f"{workload!r} is not a workload.",
            hint="It is written KEY/APP/SYSTEM-PROMPT, as the report shows it.",
            param="$.workloads",
        )
    key_id, app, system_print = parts
    return Reroute(
        id=new_id("route", now_ms),
        key_id=key_id,
        app=app,
        system_print=system_print,
        asked=asked,
        to=to,
        created_ms=now_ms,
    )


def _shown(rule: Reroute) -> RerouteShown:
    return RerouteShown(
        id=rule.id,
        workload=rule.workload,
        asked=rule.asked or None,
        to=rule.to,
        created_at=iso(rule.created_ms),
    )
