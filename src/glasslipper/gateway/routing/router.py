"""Plans routes and learns from how attempts end: one router for each process.

Holds what is known of every endpoint, which keys and endpoints must rest, and which session
belongs where. A model with one endpoint is planned in about a microsecond.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from glasslipper.gateway.endpoints import Endpoint
from glasslipper.gateway.routing.affinity import Affinity, session_of
from glasslipper.gateway.routing.breaker import in_words, jittered_wait_ms
from glasslipper.gateway.routing.draw import Seat
from glasslipper.gateway.routing.health import Health, Plain, Result
from glasslipper.gateway.routing.plan import Planner
from glasslipper.gateway.routing.retry import MOST_TRIES, RetryBudget
from glasslipper.gateway.routing.route import Route
from glasslipper.gateway.routing.sight import Profile, Standing
from glasslipper.gateway.routing.verdict import (
    LOCKED_OUT,
    Next,
    Verdict,
    costs_a_retry,
    whither,
)
from glasslipper.gateway.routing.wishes import read_wishes
from glasslipper.kernel.clock import Clock
from glasslipper.kernel.errors import (
    EngineBusy,
    GlasslipperError,
    UpstreamRefused,
)
from glasslipper.kernel.messages import Request
from glasslipper.kernel.record import Candidate

KEY_REST_MS = 60_000
"""How long whoever shares a refused key is left alone."""

MOST_PAUSE_MS = 3_600_000
"""The longest that a Retry-After is believed."""

MOST_REMEMBERED = 10_000
"""Endpoints and models; beyond that the oldest are forgotten."""

MOST_PLAIN = 64
"""So many good ends are taken in together at most."""

V = TypeVar("V")


class Router:
    """Plans, and learns."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        """Draw with `chance`; span times by the clock's ticks."""
        self._clock = clock
        self._chance = chance
        self._standings: dict[str, Standing] = {}
        self._profiles: dict[str, Profile] = {}
        self._paused: dict[str, float] = {}
        self._keys: dict[str, float] = {}
        self._affinity = Affinity()
        self._budget = RetryBudget(clock.ticks_ms())
        self._later: list[tuple[Endpoint, Plain]] = []
        self.earn = self._budget.earn
        """Know that a request came that needs no plan."""

    # before

    def plan(self, request: Request, offered: Sequence[Endpoint], *, owner: str = "") -> Route:
        """Return in which order to try the endpoints offered, those of `request.models` too.

        Args:
            request: What is asked, whose `extra["provider"]` holds the wishes.
            offered: The endpoints of its models, not empty.
            owner: Whose sessions its session id may be told apart by.

        Raises:
            NotFound: The request's wishes leave nobody.
            UpstreamRateLimited: Whoever is left has asked for a pause.
            InvalidRequest: The wishes are not well formed.
        """
        self._budget.earn()
        if (
            len(offered) == 1
            and not self._paused
            and not request.models
            and "provider" not in request.extra
            and ":" not in request.model
        ):
            only = offered[0]
            return Route(
                order=(only,), candidates=(Candidate(endpoint=only.id, propensity=1.0, why="only"),)
            )
        return self._plan(request, offered, owner)

    def _plan(self, request: Request, offered: Sequence[Endpoint], owner: str) -> Route:
        self._fold()
        ticks_ms, now_ms = self._clock.ticks_ms(), self._clock.now_ms()
        held = None
        if self._affinity:
            held = self._affinity.find(session_of(request, owner), ticks_ms)
        planner = Planner(
            request,
            read_wishes(request),
            look=lambda endpoint: self._look(endpoint, ticks_ms, now_ms),
            now_ms=now_ms,
            chance=self._chance,
        )
        return planner.route(offered, held)

    def _look(self, endpoint: Endpoint, ticks_ms: float, now_ms: int) -> Seat:
        standing = self._standing(endpoint.id)
        sight = standing.fresh(ticks_ms)
        if sight is None:
            profile = self._profile(endpoint.model)
            sight = standing.look(endpoint, profile, ticks_ms=ticks_ms, now_ms=now_ms)
        seat = Seat(endpoint, sight)
        if self._paused and (wait_ms := _left(self._paused, endpoint.id, ticks_ms)):
            seat.must_rest(f"asked for a pause of {in_words(wait_ms)}", wait_ms)
            seat.is_paused = True
        elif self._keys and (wait_ms := _left(self._keys, _key_of(endpoint), ticks_ms)):
            seat.must_rest(f"its key was refused, rests for {in_words(wait_ms)}", wait_ms)
        elif standing.rest_until_ms > ticks_ms:
            wait_ms = standing.rest_until_ms - ticks_ms
            seat.must_rest(f"busy, rests for {in_words(wait_ms)}", wait_ms)
        elif not standing.breaker.is_closed():
            self._put_on_probation(seat, standing, ticks_ms)
        return seat

    def _put_on_probation(self, seat: Seat, standing: Standing, ticks_ms: float) -> None:
        share = standing.breaker.share(ticks_ms)
        if share > 0.0:
            seat.share = share
            seat.trouble = f"on probation, at most {share:.0%} of the traffic"
        else:
            wait_ms = standing.breaker.open_for_ms(ticks_ms)
            seat.must_rest(f"breaker open for {in_words(wait_ms)}", wait_ms)

    # after

    def report(
        self, endpoint: Endpoint, result: Result, *, request: Request, owner: str = ""
    ) -> None:
        """Learn from the end of an attempt, however it ended."""
        self._fold()
        ticks_ms = self._clock.ticks_ms()
        standing = self._standing(endpoint.id)
        match standing.health.note(result, ticks_ms):
            case Verdict.GOOD:
                self._praise(standing, endpoint, result, ticks_ms)
            case Verdict.FAILED:
                standing.breaker.failure(ticks_ms, self._chance)
                standing.blur()
            case Verdict.BUSY:
                self._rest(standing, result.error, ticks_ms)
            case Verdict.LOCKED:
                self._keep(self._keys, _key_of(endpoint), ticks_ms + KEY_REST_MS)
                standing.blur()
            case Verdict.NEUTRAL:
                return
        self._pause(endpoint, result.error, ticks_ms)
        self._remember(endpoint, result, request, owner, ticks_ms)

    def is_calm(self) -> bool:
        """Tell whether a lone endpoint may be asked without a plan: nobody is paused."""
        return not self._paused

    def report_plain(self, endpoint: Endpoint, plain: Plain) -> None:
        """Learn from a good end later: before anybody looks, or when there are many."""
        self._later.append((endpoint, plain))
        if len(self._later) >= MOST_PLAIN:
            self._fold()

    def _fold(self) -> None:
        """Learn from the good ends that were kept; see `report`."""
        if not self._later:
            return
        later, self._later = self._later, []
        by_endpoint: dict[str, tuple[Endpoint, list[Plain]]] = {}
        for endpoint, plain in later:
            by_endpoint.setdefault(endpoint.id, (endpoint, []))[1].append(plain)
        for endpoint, plains in by_endpoint.values():
            standing, profile = self._standing(endpoint.id), self._profile(endpoint.model)
            standing.health.note_plain(plains)
            standing.rest_wait_ms = 0.0
            for plain in plains:
                standing.breaker.success(plain.now_ms)
                profile.note_tokens(plain.prompt, plain.completion)
            if self._keys:
                self._keys.pop(_key_of(endpoint), None)

    def _praise(
        self, standing: Standing, endpoint: Endpoint, result: Result, ticks_ms: float
    ) -> None:
        standing.breaker.success(ticks_ms)
        standing.rest_wait_ms = 0.0
        if result.usage is not None:
            self._profile(endpoint.model).note(result.usage)
        if self._keys:
            self._keys.pop(_key_of(endpoint), None)

    def _rest(self, standing: Standing, error: GlasslipperError | None, ticks_ms: float) -> None:
        standing.blur()
        if error is None or error.retry_after_s is None or isinstance(error, EngineBusy):
            standing.rest_wait_ms = jittered_wait_ms(standing.rest_wait_ms, self._chance)
            standing.rest_until_ms = ticks_ms + standing.rest_wait_ms

    def _pause(self, endpoint: Endpoint, error: GlasslipperError | None, ticks_ms: float) -> None:
        """Leave an endpoint alone for as long as it asked for; our own engine only queues."""
        if error is None or not error.retry_after_s or isinstance(error, EngineBusy):
            return
        wait_ms = min(error.retry_after_s * 1000.0, MOST_PAUSE_MS)
        until_ms = max(ticks_ms + wait_ms, self._paused.get(endpoint.id, 0.0))
        self._keep(self._paused, endpoint.id, until_ms)

    def _remember(
        self, endpoint: Endpoint, result: Result, request: Request, owner: str, ticks_ms: float
    ) -> None:
        usage = result.usage
        if result.error is not None:
            if self._affinity:
                self._affinity.forget(session_of(request, owner), endpoint.id)
        elif usage is not None and (usage.cache_read or usage.cache_write or usage.cache_write_1h):
            self._affinity.remember(session_of(request, owner), endpoint.id, ticks_ms)

    def left_after(
        self,
        error: GlasslipperError,
        *,
        failed: Endpoint,
        left: Sequence[Endpoint],
        request: Request,
        tries: int,
    ) -> Sequence[Endpoint]:
        """Return who of those `left` is worth another try after `tries`; empty for nobody.

        A retry that burdens somebody is taken from the budget of retries.
        """
        worth = self._worth(error, failed, left)
        if not worth or tries >= MOST_TRIES + len(request.models):
            return ()
        if costs_a_retry(error) and not self._budget.spend(self._clock.ticks_ms()):
            return ()
        return worth

    def _worth(
        self, error: GlasslipperError, failed: Endpoint, left: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        match whither(error):
            case Next.ANYBODY:
                worth = list(left)
            case Next.LARGER_CONTEXT:
                size = failed.context_tokens
                worth = [end for end in left if _is_larger(end.context_tokens, size)]
            case Next.OTHER_MODEL:
                worth = [end for end in left if end.model != failed.model]
            case Next.NOBODY:
                worth = []
        if isinstance(error, UpstreamRefused) and error.upstream_status in LOCKED_OUT:
            key = _key_of(failed)
            worth = [end for end in worth if _key_of(end) != key]
        return worth

    # what is known

    def health(self, endpoint_id: str) -> Health | None:
        """Return how an endpoint has been doing, if it ever did anything."""
        self._fold()
        standing = self._standings.get(endpoint_id)
        return None if standing is None else standing.health

    def _standing(self, endpoint_id: str) -> Standing:
        standing = self._standings.get(endpoint_id)
        if standing is None:
            standing = Standing()
            self._keep(self._standings, endpoint_id, standing)
        return standing

    def _profile(self, model: str) -> Profile:
        profile = self._profiles.get(model)
        if profile is None:
            profile = Profile()
            self._keep(self._profiles, model, profile)
        return profile

    @staticmethod
    def _keep(known: dict[str, V], name: str, value: V) -> None:
        if name not in known and len(known) >= MOST_REMEMBERED:
            del known[next(iter(known))]
        known[name] = value


def _left(until: dict[str, float], name: str, ticks_ms: float) -> float:
    """Return how long something still lasts; what is over is forgotten."""
    until_ms = until.get(name)
    if until_ms is None:
        return 0.0
    if until_ms > ticks_ms:
        return until_ms - ticks_ms
    del until[name]
    return 0.0


def _key_of(endpoint: Endpoint) -> str:
    return endpoint.key_id or endpoint.id


def _is_larger(candidate: int | None, failed: int | None) -> bool:
    return candidate is not None and (failed is None or candidate > failed)
