"""Laws of routing, for any endpoints, any wishes and any history."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_peers import MODEL, Ticks, ask, endpoint, good, odds, providers, router, tell

from glasslipper.gateway.routing import Result, Router, split_variant
from glasslipper.gateway.routing.breaker import PROBATION, Breaker
from glasslipper.gateway.routing.retry import RESERVE, SHARE, RetryBudget
from glasslipper.gateway.routing.windows import GROWTH, SLICE_MS, SLICES, Percentiles, SlidingCounts
from glasslipper.kernel.errors import (
    NotFound,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamUnreachable,
)

NAMES = ["ada", "bob", "cyd", "dot", "eve"]

prices = st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=2, max_size=len(NAMES))
names = st.lists(st.sampled_from(NAMES), max_size=3)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "order": names,
        "only": names,
        "ignore": names,
        "allow_fallbacks": st.booleans(),
        "sort": st.sampled_from(["price", "throughput", "latency"]),
        "max_price": st.fixed_dictionaries({"prompt": st.floats(0, 100)}),
        "preferred_min_throughput": st.floats(1, 200),
    },
)
ends = st.one_of(
    st.floats(1, 500).map(good),
    st.just(Result(error=UpstreamUnreachable("gone"), duration_ms=5)),
    st.sampled_from([400, 401, 403, 500, 503]).map(
        lambda status: Result(error=UpstreamRefused("no", upstream_status=status))
    ),
    st.sampled_from([None, 7]).map(
        lambda wait: Result(error=UpstreamRateLimited("slow down", retry_after_s=wait))
    ),
)
history = st.lists(st.tuples(st.integers(0, len(NAMES) - 1), ends, st.floats(0, 20)), max_size=60)


def lived(
    costs: list[float | None],
    past: list[tuple[int, Result, float]],
    *,
    seed: int = 1,
) -> Router:
    """A router that has seen all that happen."""
    clock = Ticks()
    made = router(seed, clock)
    for index, result, wait_s in past:
        clock.go_on(wait_s)
        if index < len(costs):
            tell(made, endpoint(NAMES[index], costs[index]), [result])
    return made


@settings(max_examples=200, deadline=None)
@given(prices, wishes, history, st.integers(0, 2**32))
def test_no_wish_is_broken_and_the_odds_sum_to_one(
    costs: list[float | None],
    wish: dict[str, object],
    past: list[tuple[int, Result, float]],
    seed: int,
) -> None:
    offered = [endpoint(name, cost) for name, cost in zip(NAMES, costs, strict=False)]
    made = lived(costs, past, seed=seed)
    try:
        route = made.plan(ask(provider=wish), offered)
    except (NotFound, UpstreamRateLimited):
        return
    chosen = providers(route)
    assert chosen
    assert len(set(chosen)) == len(chosen)
    assert not set(chosen) & set(wish.get("ignore", ()))
    if "only" in wish:
        assert set(chosen) <= set(wish["only"])
    if "max_price" in wish:
        cap = wish["max_price"]["prompt"]
        assert all(costs[NAMES.index(name)] <= cap + 1e-8 for name in chosen)
    shown = odds(route)
    assert math.isclose(sum(shown.values()), 1, abs_tol=1e-9)
    assert all(0 <= one <= 1 for one in shown.values())
    assert shown[chosen[0]] > 0
    assert sorted(shown) == sorted(NAMES[: len(offered)]), "everybody is accounted for"


@settings(max_examples=100, deadline=None)
@given(prices, history, st.integers(0, 4), st.floats(1.01, 50))
def test_a_higher_price_never_raises_the_odds(
    costs: list[float | None], past: list[tuple[int, Result, float]], index: int, factor: float
) -> None:
    index %= len(costs)
    base = costs[index]
    if base is None:
        return
    dearer = [*costs]
    dearer[index] = base * factor
    shown = list[float]()
    for variant in (costs, dearer):
        offered = [endpoint(name, cost) for name, cost in zip(NAMES, variant, strict=False)]
        try:
            route = lived(variant, past).plan(ask(), offered)
        except UpstreamRateLimited:
            return
        shown.append(odds(route)[NAMES[index]])
    assert shown[1] <= shown[0] + 1e-9


@settings(max_examples=50, deadline=None)
@given(prices, history, st.integers(0, 2**32))
def test_the_same_seed_and_history_give_the_same_routes(
    costs: list[float | None], past: list[tuple[int, Result, float]], seed: int
) -> None:
    offered = [endpoint(name, cost) for name, cost in zip(NAMES, costs, strict=False)]
    routes = list[object]()
    for made in (lived(costs, past, seed=seed), lived(costs, past, seed=seed)):
        try:
            planned = [made.plan(ask(), offered) for _ in range(5)]
            routes.append([(providers(one), odds(one)) for one in planned])
        except UpstreamRateLimited as error:
            routes.append(error.retry_after_s)
    assert routes[0] == routes[1]


# The 99.9th percentile of chi square, by degrees of freedom.
CHI_SQUARE = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_endpoints_are_first_as_often_as_their_recorded_odds_say(seed: int) -> None:
    offered = [endpoint(name, cost) for name, cost in zip(NAMES, [1, 1.5, 2, 4, None], strict=True)]
    made = router(seed)
    tell(made, offered[0], [good(80)] * 20)
    tell(made, offered[1], [good(20)] * 20)
    tell(made, offered[2], [Result(error=UpstreamUnreachable("gone"))] * 3 + [good(40)] * 5)
    expected = odds(made.plan(ask(), offered))
    draws = 20_000
    met = Counter(providers(made.plan(ask(), offered))[0] for _ in range(draws))
    distance = sum(
        (met[name] - draws * share) ** 2 / (draws * share) for name, share in expected.items()
    )
    assert distance < CHI_SQUARE[len(expected) - 1]


def test_the_order_behind_the_first_is_drawn_by_weight_too() -> None:
    offered = [endpoint("ada", 1), endpoint("bob", 2), endpoint("cyd", 4)]
    made = router(7)
    shares = odds(made.plan(ask(), offered))
    orders = [providers(made.plan(ask(), offered)) for _ in range(5_000)]
    after = Counter(order[1] for order in orders if order[0] == "ada")
    expected = shares["bob"] / (shares["bob"] + shares["cyd"])
    total = after["bob"] + after["cyd"]
    assert abs(after["bob"] / total - expected) < 4 * math.sqrt(0.25 / total)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.booleans(), st.floats(0, 40_000)), max_size=80))
def test_a_breaker_is_open_for_a_bounded_time_and_admits_a_listed_share(
    seed: int, ends: list[tuple[bool, float]]
) -> None:
    chance, breaker, now_ms = random.Random(seed), Breaker(), 0.0
    for went_well, wait_ms in ends:
        now_ms += wait_ms
        before = breaker.share(now_ms)
        assert before in (0.0, *PROBATION)
        assert 0 <= breaker.open_for_ms(now_ms) <= 60_000
        if went_well:
            breaker.success(now_ms)
            assert breaker.share(now_ms) >= before
        else:
            breaker.failure(now_ms, chance)
            assert breaker.share(now_ms) <= before


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_probation_gets_no_more_than_its_share(steps: int) -> None:
    clock = Ticks()
    made = router(5, clock)
    sick, well = endpoint("sick", 1), endpoint("well", 50)
    tell(made, well, [good()] * 30)
    tell(made, sick, [Result(error=UpstreamUnreachable("gone"))] * 5)
    assert odds(made.plan(ask(), [sick, well]))["sick"] == 0
    clock.go_on(3.1)
    tell(made, sick, [good()] * (2**steps - 1))
    # Its health has seen failures, so that it may get less than the breaker admits.
    share = odds(made.plan(ask(), [sick, well]))["sick"]
    assert 0 < share <= PROBATION[steps]
    met = sum(providers(made.plan(ask(), [sick, well]))[0] == "sick" for _ in range(4_000))
    assert met <= 4_000 * share + 4 * math.sqrt(4_000 * share)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=300))
def test_percentiles_are_within_a_bucket_of_the_truth(values: list[float]) -> None:
    kept = Percentiles()
    for value in values:
        kept.add(value, 0)
    shares = (0.5, 0.75, 0.9, 0.99)
    found = kept.at(shares, 0)
    assert found is not None
    ordered = sorted(values)
    for share, value in zip(shares, found, strict=True):
        true = ordered[max(math.ceil(share * len(values)), 1) - 1]
        assert true / math.sqrt(GROWTH) - 1e-9 <= value <= true * math.sqrt(GROWTH) + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100_000)), max_size=100))
def test_a_window_counts_what_happened_within_it(steps: list[tuple[str, float]]) -> None:
    counts, now_ms, seen = SlidingCounts[str](), 0.0, list[tuple[str, float]]()
    for key, wait_ms in steps:
        now_ms += wait_ms
        counts.add(key, now_ms)
        seen.append((key, now_ms))
        oldest = (now_ms // SLICE_MS - SLICES + 1) * SLICE_MS
        assert counts.totals(now_ms) == Counter(one for one, at_ms in seen if at_ms >= oldest)
    assert counts.totals(now_ms + SLICES * SLICE_MS) == {}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=500))
def test_retries_never_exceed_the_reserve_and_a_tenth_of_the_traffic(steps: list[bool]) -> None:
    budget, requests, retries = RetryBudget(0), 0, 0
    for is_retry in steps:
        if is_retry:
            retries += budget.spend(0)
        else:
            requests += 1
            budget.earn()
    assert retries <= RESERVE + SHARE * requests + 1e-6


@settings(max_examples=100)
@given(st.text(), st.sampled_from(["free", "nitro", "floor", "exacto", "thinking"]))
def test_a_known_suffix_is_split_off_and_an_unknown_one_is_not(name: str, suffix: str) -> None:
    base, already = split_variant(name)
    if base:
        assert split_variant(f"{name}:{suffix}") == (base, already | {suffix})
    assert split_variant(f"{MODEL}:8b") == (f"{MODEL}:8b", frozenset())
    assert split_variant(f":{suffix}") == (f":{suffix}", frozenset())
