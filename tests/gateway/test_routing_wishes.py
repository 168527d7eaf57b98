"""What each wish does to a route: OpenRouter's `provider` object, suffixes, fallback lists."""

import pytest
from routing_peers import (
    MODEL,
    Ticks,
    ask,
    endpoint,
    good,
    odds,
    providers,
    router,
    tell,
    why,
)

from glasslipper.gateway.endpoints import Endpoint, Offer
from glasslipper.gateway.routing import choices, split_variant, with_thinking
from glasslipper.kernel.errors import InvalidRequest, ModelUnknown, NotFound, Unsupported
from glasslipper.kernel.messages import Reasoning, ResponseFormat, Sampling

ADA = endpoint("ada", 1, quantization="fp8", keeps_data=False, learns_from_data=False)
BOB = endpoint("bob", 2, quantization="bf16", learns_from_data=False, keeps_data=True)
CYD = endpoint("cyd", 3, learns_from_data=True, lacks=frozenset({"tools", "seed", "logprobs"}))
TURBO = endpoint("dot/turbo", 4)
FLEX = endpoint("dot/flex", 5)
EVERYBODY = (ADA, BOB, CYD, TURBO, FLEX)


def allowed(wish: dict[str, object], **more: object) -> set[str]:
    """Who may serve under a wish; nobody at all is an error."""
    try:
        return set(providers(router().plan(ask(provider=wish, **more), EVERYBODY)))
    except NotFound:
        return set()


ALL = {"ada", "bob", "cyd", "dot/turbo", "dot/flex"}

EXCLUDING = {
    "only": ({"only": ["ada", "BOB"]}, {"ada", "bob"}),
    "only nobody": ({"only": []}, set()),
    "only unknown": ({"only": ["zoe"]}, set()),
    "a base slug means its variants but no tier": ({"only": ["dot"]}, {"dot/turbo"}),
    "a tier is named in full": ({"only": ["dot/flex"]}, {"dot/flex"}),
    "a quantization behind the slug": ({"only": ["ada/fp8", "bob/fp8"]}, {"ada"}),
    "ignore": ({"ignore": ["ada", "dot"]}, {"bob", "cyd", "dot/flex"}),
    "ignore beats only": ({"only": ["ada"], "ignore": ["ada"]}, set()),
    "quantizations": ({"quantizations": ["FP8", "bf16"]}, {"ada", "bob"}),
    "unknown quantization": ({"quantizations": ["unknown"]}, {"cyd", "dot/turbo", "dot/flex"}),
    "no collection": ({"data_collection": "deny"}, {"ada", "bob"}),
    "collection": ({"data_collection": "allow"}, ALL),
    "no retention": ({"zdr": True}, {"ada"}),
    "cap on the prompt": ({"max_price": {"prompt": 2}}, {"ada", "bob"}),
    "cap as text": ({"max_price": {"prompt": "2.0"}}, {"ada", "bob"}),
    "cap on the answer": ({"max_price": {"completion": 5.9}}, {"ada", "bob"}),
    "cap on the request": ({"max_price": {"request": 0}}, ALL),
    "order": ({"order": ["cyd"]}, ALL),
    "order without fallbacks": (
        {"order": ["cyd", "ada"], "allow_fallbacks": False},
        {"cyd", "ada"},
    ),
}


@pytest.mark.parametrize(("wish", "expected"), EXCLUDING.values(), ids=EXCLUDING.keys())
def test_a_wish_leaves_exactly_whom_it_allows(wish: dict[str, object], expected: set[str]) -> None:
    assert allowed(wish) == expected


def test_no_fallbacks_leaves_the_first_only() -> None:
    route = router().plan(ask(provider={"allow_fallbacks": False}), EVERYBODY)
    assert len(route.order) == 1
    assert sum(odds(route).values()) == pytest.approx(1)


def test_an_order_is_kept_and_the_rest_follow() -> None:
    for seed in range(20):
        route = router(seed).plan(ask(provider={"order": ["dot", "cyd"]}), EVERYBODY)
        assert providers(route)[:2] == ["dot/turbo", "cyd"]
        assert odds(route)["dot/turbo"] == 1
        assert set(providers(route)) == ALL


def test_what_keeps_data_on_this_machine_is_private() -> None:
    here = endpoint("here", 1, is_local=True)
    route = router().plan(ask(provider={"zdr": True, "data_collection": "deny"}), [here, CYD])
    assert providers(route) == ["here"]
    assert why(route)["cyd"] == "may collect data"


def test_all_parameters_are_required_only_on_request() -> None:
    seeded = {"sampling": Sampling(seed=1)}
    assert allowed({}, **seeded) == ALL
    assert allowed({"require_parameters": True}, **seeded) == ALL - {"cyd"}
    assert allowed({"require_parameters": True}) == ALL


def test_whoever_does_not_know_tools_is_tried_last() -> None:
    cheap = endpoint("cheap", 0.01, lacks=frozenset({"tools"}))
    route = router().plan(ask(tools=True), [cheap, CYD, ADA])
    assert providers(route)[0] == "ada"
    assert odds(route)["cheap"] == 0
    assert "does not know tools" in why(route)["cheap"]
    plain = router().plan(ask(), [cheap, ADA])
    assert odds(plain)["cheap"] > 0.9


def test_whoever_does_not_keep_to_schemas_is_tried_last() -> None:
    loose = endpoint("loose", 0.01, lacks=frozenset({"structured_outputs"}))
    schema = ResponseFormat(kind="json_schema", schema={"type": "object"})
    assert providers(router().plan(ask(response_format=schema), [loose, ADA])) == ["ada", "loose"]


def test_a_price_that_nobody_knows_is_above_every_cap() -> None:
    secret = endpoint("secret", None)
    route = router().plan(ask(provider={"max_price": {"prompt": 9}}), [secret, ADA])
    assert providers(route) == ["ada"]
    assert "unknown" in why(route)["secret"]


SORTS = {
    "price": ({"sort": "price"}, "", ["slow", "quick", "fine"]),
    "throughput": ({"sort": "throughput"}, "", ["quick", "fine", "slow"]),
    "latency": ({"sort": {"by": "latency"}}, "", ["fine", "quick", "slow"]),
    "floor": (None, ":floor", ["slow", "quick", "fine"]),
    "nitro": (None, ":nitro", ["quick", "fine", "slow"]),
    "exacto": (None, ":exacto", ["fine", "quick", "slow"]),
    "a sort is stronger than a suffix": ({"sort": "price"}, ":nitro", ["slow", "quick", "fine"]),
}


@pytest.mark.parametrize(("wish", "suffix", "expected"), SORTS.values(), ids=SORTS.keys())
def test_sorting_turns_the_draw_off(
    wish: dict[str, object] | None, suffix: str, expected: list[str]
) -> None:
    slow, quick, fine = endpoint("slow", 1), endpoint("quick", 2), endpoint("fine", 3)
    for seed in range(5):
        made = router(seed)
        tell(made, slow, [good(10, first_token_ms=900, with_tools=True, tool_fault="InvalidJson")])
        tell(made, quick, [good(90, first_token_ms=300, with_tools=True)])
        tell(made, fine, [good(50, first_token_ms=50, with_tools=True)] * 9)
        tell(made, quick, [good(90, first_token_ms=300, with_tools=True, tool_fault="UnknownName")])
        tell(made, slow, [good(10, first_token_ms=900, with_tools=True, tool_fault="InvalidJson")])
        route = made.plan(ask(MODEL + suffix, provider=wish), [fine, slow, quick])
        assert providers(route) == expected
        assert odds(route)[expected[0]] == 1


@pytest.mark.parametrize(
    "wish",
    [
        {"preferred_min_throughput": 40},
        {"preferred_min_throughput": {"p50": 40, "p99": 30}},
        {"preferred_max_latency": 0.5},
        {"preferred_max_latency": {"p90": 0.5}},
    ],
)
def test_a_preference_puts_last_and_excludes_nobody(wish: dict[str, object]) -> None:
    slow, quick = endpoint("slow", 0.1), endpoint("quick", 5)
    made = router()
    tell(made, slow, [good(10, first_token_ms=900)] * 3)
    tell(made, quick, [good(90, first_token_ms=50)] * 3)
    route = made.plan(ask(provider=wish), [slow, quick])
    assert providers(route) == ["quick", "slow"]
    assert odds(route) == {"quick": 1, "slow": 0}
    alone = made.plan(ask(provider=wish), [slow, endpoint("slow2", 0.1)])
    assert set(providers(alone)) == {"slow", "slow2"}


def test_a_preference_is_forgotten_with_the_window() -> None:
    clock = Ticks()
    slow, quick = endpoint("slow", 0.1), endpoint("quick", 5)
    made = router(1, clock)
    tell(made, slow, [good(10)] * 3)
    clock.go_on(331)
    route = made.plan(ask(provider={"preferred_min_throughput": 40}), [slow, quick])
    assert odds(route)["slow"] > 0.5


FAULTY = {
    "misspelt sort": ({"sort": "beauty"}, InvalidRequest),
    "not an object": ("fast", InvalidRequest),
    "a cap below nothing": ({"max_price": {"prompt": -1}}, InvalidRequest),
    "a cap that is no number": ({"max_price": {"prompt": "nan"}}, InvalidRequest),
    "a cap in words": ({"max_price": {"completion": "cheap"}}, InvalidRequest),
    "what nobody knows": ({"enforce_distillable_text": True}, Unsupported),
}


@pytest.mark.parametrize(("wish", "kind"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_wish_is_an_error_that_names_it(wish: object, kind: type[InvalidRequest]) -> None:
    with pytest.raises(kind) as failed:
        router().plan(ask(provider=wish), EVERYBODY)
    assert failed.value.param
    assert failed.value.param.startswith("$.provider")


def test_an_endless_cap_caps_nothing() -> None:
    assert allowed({"max_price": {"prompt": "inf", "completion": 1e300}}) == ALL


def test_wishes_that_leave_nobody_say_who_failed_which() -> None:
    with pytest.raises(NotFound) as failed:
        router().plan(ask(provider={"only": ["ada"], "zdr": True, "ignore": ["ada"]}), EVERYBODY)
    assert failed.value.status == 404
    assert "maker/model@ada: ignored by the request" in failed.value.message
    assert "maker/model@bob: not among the providers" in failed.value.message


def other(provider: str, usd: float) -> Endpoint:
    return endpoint(provider, usd, model="maker/other")


def test_models_are_tried_in_the_order_of_the_list() -> None:
    offered = [ADA, BOB, other("ada", 0.01), other("zoe", 0.01)]
    for seed in range(10):
        route = router(seed).plan(ask(models=("maker/other",)), offered)
        assert [end.model for end in route.order] == [MODEL, MODEL, "maker/other", "maker/other"]
        assert sum(one.propensity for one in route.candidates) == pytest.approx(1)


def test_ranking_across_models_takes_the_best_of_all() -> None:
    offered = [ADA, other("zoe", 0.01)]
    wish = {"sort": {"by": "price", "partition": "none"}}
    route = router().plan(ask(models=("maker/other",), provider=wish), offered)
    assert [end.model for end in route.order] == ["maker/other", MODEL]
    within = {"sort": {"by": "price", "partition": "model"}}
    route = router().plan(ask(models=("maker/other",), provider=within), offered)
    assert [end.model for end in route.order] == [MODEL, "maker/other"]


def test_a_wish_that_empties_one_model_leaves_the_next() -> None:
    offered = [ADA, other("zoe", 1)]
    wish = {"ignore": ["ada"]}
    assert providers(router().plan(ask(models=("maker/other",), provider=wish), offered)) == ["zoe"]


def test_free_means_endpoints_without_a_price() -> None:
    gift = endpoint("gift", 0)
    assert providers(router().plan(ask(f"{MODEL}:free"), [ADA, gift])) == ["gift"]
    with pytest.raises(NotFound):
        router().plan(ask(f"{MODEL}:free"), [ADA])


def test_a_model_of_the_very_name_is_meant_before_its_suffix() -> None:
    exact = endpoint("ada", 5, model=f"{MODEL}:free")
    offer = Offer()
    for end in (ADA, exact):
        offer.add(end)
    request = ask(f"{MODEL}:free")
    assert [end.model for end in choices(offer, request)] == [f"{MODEL}:free"]
    assert router().plan(request, choices(offer, request)).order == (exact,)


def test_suffixed_and_unknown_names_find_what_is_offered() -> None:
    offer = Offer()
    for end in (ADA, other("zoe", 1)):
        offer.add(end)
    found = choices(offer, ask(f"{MODEL}:nitro", models=("nobody/this", "maker/other:floor")))
    assert [end.id for end in found] == ["maker/model@ada", "maker/other@zoe"]
    with pytest.raises(ModelUnknown):
        choices(offer, ask("nobody/this:nitro", models=("nobody/that",)))


def test_thinking_asks_the_model_to_think() -> None:
    assert with_thinking(ask(f"{MODEL}:thinking")).reasoning == Reasoning(enabled=True)
    told = ask(f"{MODEL}:thinking", reasoning=Reasoning(effort="low"))
    assert with_thinking(told) is told
    assert with_thinking(ask()).reasoning is None
    assert split_variant("a/b:thinking:nitro") == ("a/b", {"nitro", "thinking"})
