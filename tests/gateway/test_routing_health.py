"""How a router learns: what counts against an endpoint, breakers, pauses, sessions, retries."""

import msgspec
import pytest
from routing_peers import Ticks, ask, endpoint, good, odds, providers, router, tell, why

from glasslipper.gateway.routing import Result, ToolWatch
from glasslipper.gateway.routing.affinity import Affinity, session_of
from glasslipper.gateway.routing.toolcheck import fits
from glasslipper.kernel.errors import (
    ContextTooLong,
    EngineBusy,
    EngineCrashed,
    GlasslipperError,
    InvalidRequest,
    StreamBroken,
    Unsupported,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from glasslipper.kernel.events import ToolCallDelta
from glasslipper.kernel.messages import HostedTool, Message, TextPart, Tool
from glasslipper.kernel.usage import Usage

ADA, BOB = endpoint("ada", 1), endpoint("bob", 1)


def refused(status: int, **more: int) -> UpstreamRefused:
    return UpstreamRefused("no", upstream_status=status, **more)


COUNTED = [refused(code) for code in (404, 405, 408, 410, 421, 423, 424, 426, 498, 500, 503)]
COUNTED += [
    UpstreamFailed("x"),
    UpstreamUnreachable("x"),
    UpstreamTimeout("x"),
    StreamBroken("x"),
    EngineCrashed("x"),
]
HARMLESS: list[GlasslipperError] = [refused(code) for code in (400, 403, 413, 422, 451, 499)]
HARMLESS += [ContextTooLong("x"), Unsupported("x"), InvalidRequest("x")]


@pytest.mark.parametrize("error", COUNTED, ids=repr)
def test_what_the_endpoint_did_counts_against_it(error: GlasslipperError) -> None:
    made = router()
    tell(made, ADA, [Result(error=error)])
    assert odds(made.plan(ask(), [ADA, BOB]))["ada"] < 0.5
    tell(made, ADA, [Result(error=error)] * 4)
    assert "breaker open" in why(made.plan(ask(), [ADA, BOB]))["ada"]


@pytest.mark.parametrize("error", HARMLESS, ids=repr)
def test_what_the_client_did_never_counts(error: GlasslipperError) -> None:
    made = router()
    tell(made, ADA, [Result(error=error)] * 50 + [Result(cancelled=True)] * 50)
    assert odds(made.plan(ask(), [ADA, BOB]))["ada"] == pytest.approx(0.5)


@pytest.mark.parametrize("status", [401, 402, 429])
def test_a_refused_key_rests_with_all_its_endpoints(status: int) -> None:
    clock = Ticks()
    made = router(1, clock)
    first, second = endpoint("one", 1, key_id="k"), endpoint("two", 1, key_id="k")
    tell(made, first, [Result(error=refused(status))])
    route = made.plan(ask(), [first, second, BOB])
    assert odds(route)["bob"] == 1
    assert "key was refused" in why(route)["two"]
    assert set(providers(route)) == {"bob", "one", "two"}, "a last resort"
    clock.go_on(61)
    assert odds(made.plan(ask(), [first, second, BOB]))["two"] > 0.2


def test_a_pause_lasts_as_long_as_it_was_asked_for() -> None:
    clock = Ticks()
    made = router(1, clock)
    tell(made, ADA, [Result(error=UpstreamRateLimited("slow", retry_after_s=20))])
    route = made.plan(ask(), [ADA, BOB])
    assert providers(route) == ["bob"]
    assert why(route)["ada"] == "asked for a pause of 20 s"
    clock.go_on(12.5)
    with pytest.raises(UpstreamRateLimited) as failed:
        made.plan(ask(), [ADA])
    assert failed.value.retry_after_s == 8
    clock.go_on(7.6)
    assert set(providers(made.plan(ask(), [ADA, BOB]))) == {"ada", "bob"}


def test_a_busy_engine_of_ours_still_queues() -> None:
    made = router()
    tell(made, ADA, [Result(error=EngineBusy("full", retry_after_s=9))])
    assert providers(made.plan(ask(), [ADA])) == ["ada"]
    assert odds(made.plan(ask(), [ADA, BOB])) == {"bob": 1, "ada": 0}


def test_whoever_must_rest_serves_when_nobody_else_is_left() -> None:
    made = router()
    tell(made, ADA, [Result(error=StreamBroken("x"))] * 5)
    tell(made, BOB, [Result(error=StreamBroken("x"))] * 5)
    route = made.plan(ask(), [ADA, BOB])
    assert set(providers(route)) == {"ada", "bob"}
    assert sum(odds(route).values()) == pytest.approx(1)


def test_traffic_comes_back_step_by_step_and_in_full() -> None:
    clock = Ticks()
    made = router(1, clock)
    tell(made, ADA, [Result(error=StreamBroken("x"))] * 5)
    clock.go_on(3.1)
    seen = list[float]()
    for _ in range(16):
        share = odds(made.plan(ask(), [ADA, BOB]))["ada"]
        if not seen or share > seen[-1] + 0.02:
            seen.append(share)
        tell(made, ADA, [good()])
        clock.go_on(1.1)
    assert seen[:3] == [0.01, 0.05, pytest.approx(0.13, abs=0.13)]
    assert "probation" not in why(made.plan(ask(), [ADA, BOB]))["ada"]


def test_little_traffic_comes_back_by_time() -> None:
    clock = Ticks()
    made = router(1, clock)
    tell(made, ADA, [Result(error=StreamBroken("x"))] * 5)
    clock.go_on(3.1 + 95)
    assert odds(made.plan(ask(), [ADA, BOB]))["ada"] > 0.05
    tell(made, ADA, [Result(error=StreamBroken("x"))])
    assert odds(made.plan(ask(), [ADA, BOB]))["ada"] == 0


def test_speed_and_tool_calls_move_the_odds() -> None:
    clock = Ticks()
    made = router(1, clock)
    tell(made, ADA, [good(100)] * 20)
    tell(made, BOB, [good(25)] * 20)
    assert odds(made.plan(ask(), [ADA, BOB]))["ada"] > 0.7
    tell(made, ADA, [good(100, with_tools=True, tool_fault="SchemaMismatch")] * 50)
    tell(made, BOB, [good(100, with_tools=True)] * 50)
    clock.go_on(1.1)
    assert odds(made.plan(ask(tools=True), [ADA, BOB]))["ada"] < 0.2
    plain = made.plan(ask(), [ADA, BOB])
    assert "tools" not in why(plain)["ada"]


def test_cache_hits_make_an_endpoint_cheaper() -> None:
    warm, cold = endpoint("warm", 2, usd_cached=0.2), endpoint("cold", 2, usd_cached=0.2)
    made = router()
    cached = good(usage=Usage(input=1_000, cache_read=9_000, output=100))
    plain = good(usage=Usage(input=10_000, output=100))
    tell(made, warm, [cached] * 20)
    tell(made, cold, [plain] * 20)
    assert odds(made.plan(ask(session_id="new"), [warm, cold]))["warm"] > 0.8


def test_a_newcomer_starts_as_its_peers_are() -> None:
    made = router()
    for end in (ADA, BOB):
        tell(made, end, [good(80)] * 30)
    shares = odds(made.plan(ask(), [ADA, BOB, endpoint("new", 1)]))
    assert shares["new"] == pytest.approx(1 / 3, abs=0.02)


# sessions


CACHING = [endpoint("ada", 1, usd_cached=0.1), endpoint("bob", 5, usd_cached=0.5)]
HIT = good(usage=Usage(input=100, cache_read=900, output=10))


def test_a_session_goes_back_to_its_cache_until_it_was_idle() -> None:
    clock = Ticks()
    made = router(1, clock)
    tale = ask(session_id="tale")
    made.report(CACHING[1], HIT, request=tale, owner="key")
    route = made.plan(tale, CACHING, owner="key")
    assert odds(route)["bob"] > 0.99
    assert "holds the session's cache" in why(route)["bob"]
    assert sum(odds(route).values()) == pytest.approx(1)
    assert odds(made.plan(ask(session_id="other"), CACHING, owner="key"))["bob"] < 0.2
    assert odds(made.plan(tale, CACHING, owner="somebody else"))["bob"] < 0.2
    clock.go_on(601)
    assert odds(made.plan(tale, CACHING, owner="key"))["bob"] < 0.2


def test_a_session_stays_nowhere_in_vain() -> None:
    made = router()
    dear = [endpoint("ada", 1), endpoint("bob", 5)]
    made.report(dear[1], HIT, request=ask())
    assert odds(made.plan(ask(), dear))["bob"] < 0.2, "cached reads cost as much there"
    made.report(CACHING[1], HIT, request=ask())
    assert odds(made.plan(ask(provider={"order": ["ada"]}), CACHING))["ada"] == 1
    made.report(CACHING[1], Result(error=StreamBroken("x")), request=ask())
    assert odds(made.plan(ask(), CACHING))["bob"] < 0.2


def test_a_conversation_is_known_by_how_it_begins() -> None:
    def turns(*texts: str) -> tuple[Message, ...]:
        roles = ("system", "user", "assistant", "user")
        pairs = zip(roles, texts, strict=False)
        return tuple(Message(role=role, parts=(TextPart(text=text),)) for role, text in pairs)

    first = session_of(ask(messages=turns("be kind", "hi")), "key")
    later = session_of(ask(messages=turns("be kind", "hi", "hello", "how are you?")), "key")
    other = session_of(ask(messages=turns("be kind", "bye")), "key")
    assert first == later
    assert first != other


def test_sessions_are_forgotten_least_used_first() -> None:
    kept = Affinity(most_sessions=3)
    for number in range(5):
        kept.remember((number,), "ada", 0)
    assert len(kept) == 3
    assert [kept.find((number,), 0) for number in (0, 1, 2, 4)] == [None, None, "ada", "ada"]


# retries


def left(error: GlasslipperError, tries: int = 1, **more: object) -> list[str]:
    small = endpoint("small", 1, context_tokens=1000)
    large = endpoint("large", 1, context_tokens=9000)
    twin = endpoint("twin", 1, context_tokens=1000)
    other = endpoint("other", 1, model="maker/other", context_tokens=1000)
    found = router().left_after(
        error, failed=small, left=[twin, large, other], request=ask(**more), tries=tries
    )
    return [end.provider for end in found]


def test_each_failure_goes_where_it_may_do_better() -> None:
    everybody = ["twin", "large", "other"]
    for error in (*COUNTED, refused(401), refused(429), UpstreamRateLimited("x"), Unsupported("x")):
        assert left(error) == everybody
    for status in (400, 413, 422):
        assert left(refused(status)) == []
    assert left(InvalidRequest("x")) == []
    assert left(ContextTooLong("x")) == ["large"]
    for status in (403, 451):
        assert left(refused(status)) == ["other"]


def test_a_refused_key_is_not_tried_at_its_other_endpoints() -> None:
    failed, twin = endpoint("one", 1, key_id="k"), endpoint("two", 1, key_id="k")
    found = router().left_after(
        refused(402), failed=failed, left=[twin, BOB], request=ask(), tries=1
    )
    assert [end.provider for end in found] == ["bob"]


def test_a_request_is_tried_three_times_and_once_more_for_each_model_listed() -> None:
    assert left(StreamBroken("x"), 2)
    assert not left(StreamBroken("x"), 3)
    assert left(StreamBroken("x"), 3, models=("maker/other",))
    assert not left(StreamBroken("x"), 4, models=("maker/other",))


def test_a_process_does_not_retry_more_than_it_can_afford() -> None:
    made = router()

    def retries() -> int:
        return sum(
            bool(made.left_after(StreamBroken("x"), failed=ADA, left=[BOB], request=ask(), tries=1))
            for _ in range(200)
        )

    assert retries() == 10
    for _ in range(205):
        made.plan(ask(), [ADA])
    assert retries() == 20


# tool calls


TOOL = Tool(
    name="weather",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"],
        "additionalProperties": False,
    },
)

CALLS = {
    "fine": ("weather", '{"city": "Rome", "days": 2}', None),
    "not JSON": ("weather", '{"city": ', "InvalidJson"),
    "unknown": ("wether", "{}", "UnknownName"),
    "missing": ("weather", "{}", "SchemaMismatch"),
    "empty": ("weather", "", "SchemaMismatch"),
    "wrong type": ("weather", '{"city": 3}', "SchemaMismatch"),
    "below": ("weather", '{"city": "Rome", "days": 0}', "SchemaMismatch"),
    "true is no number": ("weather", '{"city": "Rome", "days": true}', "SchemaMismatch"),
    "too much": ("weather", '{"city": "Rome", "sky": 1}', "SchemaMismatch"),
    "no object": ("weather", "[1]", "SchemaMismatch"),
}


@pytest.mark.parametrize(("name", "arguments", "fault"), CALLS.values(), ids=CALLS.keys())
def test_tool_calls_are_judged(name: str, arguments: str, fault: str | None) -> None:
    watch = ToolWatch([TOOL])
    watch.add(ToolCallDelta(index=0, id="c", name=name, arguments=arguments[:3]))
    watch.add(ToolCallDelta(index=0, arguments=arguments[3:]))
    assert watch.fault() == fault


def test_a_call_of_a_tool_whose_shape_only_its_provider_knows_is_no_fault() -> None:
    hosted = HostedTool(dialect="messages", name="bash", raw=msgspec.Raw(b"{}"))
    watch = ToolWatch([Tool(name="look")], [hosted])
    watch.add(ToolCallDelta(index=0, id="a", name="bash", arguments='{"command": "ls"}'))
    assert (watch.calls, watch.fault()) == (1, None)
    watch.add(ToolCallDelta(index=1, id="b", name="dash", arguments="{}"))
    assert watch.fault() == "UnknownName"


def test_schemas_are_judged_as_far_as_they_are_understood() -> None:
    assert fits(1, {"anyOf": [{"type": "string"}, {"enum": [1, 2]}]})
    assert not fits(3, {"oneOf": [{"type": "string"}, {"enum": [1, 2]}]})
    assert not fits([1, "a"], {"items": {"type": "integer"}})
    assert not fits({"a": 1}, {"allOf": [{"required": ["b"]}]})
    assert fits({"a": 1}, {"$ref": "#/definitions/a", "type": "string"})
    assert fits({"x1": 1}, {"patternProperties": {"x": {}}, "additionalProperties": False})
    assert fits(2.0, {"type": ["null", "integer"]})
    assert not fits(True, {"const": 1})
    assert fits({"a": [0] * 50_000}, {"properties": {"a": {"items": {"type": "number"}}}})
