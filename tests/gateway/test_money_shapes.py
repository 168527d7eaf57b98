"""What providers say they used, in every shape, and what it costs, to the nano-dollar.

Each amount was computed by hand from the prices of its card, which are USD per million units: at
3 USD a token costs 3,000 nano-USD. It is asked for over HTTP, whole and streamed, and read off
the answer and off the record.
"""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from msgspec import Struct
from provider_of_shapes import Provider, Reply

from glasslipper.testing.served import Served

HOUR_S = 3600


def hours(from_now: int, until: int) -> str:
    """Return the hours of the UTC day from and until so many hours from now."""
    return "-".join(
        time.strftime("%H:%M", time.gmtime(time.time() + shift * HOUR_S))
        for shift in (from_now, until)
    )


PLAIN = {"price_in": "0.15", "price_out": "0.60"}
EVERY = {
    "cache_read": "0.30",
    "cache_write": "3.75",
    "cache_write_1h": "6",
    "input_audio": "40",
    "input_image": "5",
    "reasoning": "20",
    "output_audio": "80",
    "output_image": "30",
}
FULL = {"price_in": "3", "price_out": "15", "prices": EVERY}
SEARCH = {"price_in": "3", "price_out": "15", "prices": {"searches": "10000"}}
WRITES = {"price_in": "3", "price_out": "15", "prices": {"cache_write": "3.75"}}
CRUMBS = {"price_in": "0.0375", "price_out": "0.1", "prices": {"cache_read": "0.00375"}}
PER_CALL = {**PLAIN, "prices": {"requests": "5000"}}
FREE = {"price_in": "0", "price_out": "0"}
UNKNOWN: dict[str, Any] = {"price_in": None}
LONG = {
    "price_in": "1.25",
    "price_out": "10",
    "prices": {"cache_read": "0.125"},
    "price_cases": [
        {"above_tokens": 200_000, "rates": {"input": "2.5", "output": "15", "cache_read": "0.25"}}
    ],
}
STEPS = {
    "price_in": "1",
    "price_out": "2",
    "price_cases": [
        {"above_tokens": 2_000, "rates": {"input": "3", "output": "6"}},
        {"above_tokens": 1_000, "rates": {"input": "2", "output": "4"}},
    ],
}
CHEAPER = {"rates": {"input": "1", "output": "2"}}
DAY: dict[str, Any] = {"price_in": "2", "price_out": "4"}
NIGHT = {**DAY, "price_cases": [{**CHEAPER, "hours": hours(-2, 2)}]}
LATER = {**DAY, "price_cases": [{**CHEAPER, "hours": hours(3, 5)}]}
LONG_NIGHT = {
    **DAY,
    "price_cases": [
        {**CHEAPER, "hours": hours(-2, 2)},
        {"hours": hours(-2, 2), "above_tokens": 1_000, "rates": {"input": "1.5", "output": "3"}},
    ],
}
TIERS = {
    "price_in": "2",
    "price_out": "8",
    "price_cases": [
        {"service_tier": "priority", "rates": {"input": "3.5", "output": "14"}},
        {"service_tier": "flex", "rates": {"input": "1", "output": "4"}},
    ],
}


class Shape(Struct, frozen=True):
    """A usage as a provider writes it, the card that it is priced by, and what that comes to.

    Amounts are nano-USD; unless it says so, all that is billed is charged. `more` are further
    members of the reply, `asks` of the request. `whose` says who pays: the house, a key with a
    `budget`, or the account that brought the provider's key along.
    """

    name: str
    card: dict[str, Any]
    usage: dict[str, Any] | None
    billed: int
    charged: int | None = None
    speaks: str = "custom"
    more: dict[str, Any] = {}
    asks: dict[str, Any] = {}
    whose: str = "house"


def chat(prompt: Any, completion: Any, **more: Any) -> dict[str, Any]:
    """Return OpenAI's usage; `prompt_` and `completion_` members go into its details."""
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    for side in ("prompt", "completion"):
        inner = {
            name.removeprefix(f"{side}_"): count
            for name, count in more.items()
            if name.startswith(f"{side}_")
        }
        told |= {f"{side}_tokens_details": inner} if inner else {}
    return told | {
        name: value
        for name, value in more.items()
        if not name.startswith(("prompt_", "completion_"))
    }


def written(short: int, hour: int) -> dict[str, Any]:
    return {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}


def of(modality: str, count: int) -> list[dict[str, Any]]:
    return [{"modality": modality, "tokenCount": count}]


def gemini(prompt: int, said: int | None, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"promptTokenCount": prompt}
    told |= {} if said is None else {"candidatesTokenCount": said}
    return told | more


A, G = "anthropic", "google"
THOUSAND = chat(1_000, 100)

SHAPES = (
    # OpenAI's, and those who speak like it
    Shape("two numbers", PLAIN, THOUSAND, 210_000),
    Shape("a prompt without an answer", PLAIN, chat(1_000, 0), 150_000),
    Shape("one token each", PLAIN, chat(1, 1), 750),
    Shape("whole numbers written as fractions", PLAIN, chat(1_000.0, 100.0), 210_000),
    Shape("half a nano-dollar is a whole one", CRUMBS, chat(1, 0), 38),
    Shape("two halves are one", CRUMBS, chat(2, 0), 75),
    Shape("the sum is rounded, not its parts", CRUMBS, chat(3, 1), 213),
    Shape("quarters of a nano-dollar", CRUMBS, chat(3, 0, prompt_cached_tokens=1), 79),
    Shape("all read from a cache", FULL, chat(1_000, 10, prompt_cached_tokens=1_000), 450_000),
    Shape("part read from a cache", FULL, chat(1_000, 10, prompt_cached_tokens=400), 2_070_000),
    Shape("a cache that costs the same", PLAIN, chat(1_000, 0, prompt_cached_tokens=900), 150_000),
    Shape(
        "read from and written to a cache", FULL,
        chat(1_000, 0, prompt_cached_tokens=200, prompt_cache_write_tokens=300), 2_685_000,
    ),
    Shape(
        "DeepSeek's hits", FULL,
        {**chat(1_000, 10), "prompt_cache_hit_tokens": 600, "prompt_cache_miss_tokens": 400},
        1_530_000,
    ),
    Shape("Moonshot's hits", FULL, {**chat(1_000, 10), "cached_tokens": 100}, 2_880_000),
    Shape("reasoning inside", FULL, chat(100, 100, completion_reasoning_tokens=60), 2_100_000),
    Shape("reasoning and no words", FULL, chat(100, 60, completion_reasoning_tokens=60), 1_500_000),
    Shape(
        "reasoning outside, told by the total", FULL,
        chat(100, 40, completion_reasoning_tokens=60, total_tokens=200), 2_100_000,
    ),
    Shape(
        "more reasoning than answer", FULL,
        chat(100, 40, completion_reasoning_tokens=60, total_tokens=140), 2_100_000,
    ),
    Shape("reasoning at the output's price", PLAIN,
          chat(10, 20, completion_reasoning_tokens=15), 13_500),
    Shape("sound heard", FULL, chat(1_000, 0, prompt_audio_tokens=300), 14_100_000),
    Shape("sound made", FULL, chat(10, 100, completion_audio_tokens=80), 6_730_000),
    Shape("a picture seen", FULL, chat(600, 0, prompt_image_tokens=500), 2_800_000),
    Shape("a picture made", FULL, chat(10, 1_290, completion_image_tokens=1_290), 38_730_000),
    Shape(
        "every class at once", FULL,
        chat(
            1_000, 500, prompt_cached_tokens=200, prompt_cache_write_tokens=100,
            prompt_audio_tokens=50, prompt_image_tokens=50, completion_reasoning_tokens=200,
            completion_audio_tokens=100, completion_image_tokens=50,
        ),
        20_235_000,
    ),
    Shape("a price for each call", PER_CALL, chat(10, 10), 5_007_500),
    Shape("only a total", PLAIN, {"total_tokens": 110, "completion_tokens": 10}, 21_000),
    Shape("told beside the last choice", PLAIN, THOUSAND, 210_000, more={"told": "beside"}),
    Shape("told inside the last choice", PLAIN, THOUSAND, 210_000, more={"told": "inside"}),
    Shape("told again and again", PLAIN, THOUSAND, 210_000, more={"told": "always"}),
    # tiers
    Shape("at the edge of a long prompt", LONG, chat(200_000, 100), 251_000_000),
    Shape("beyond it, for all tokens", LONG, chat(200_001, 100), 501_502_500),
    Shape("what is cached makes it long", LONG,
          chat(200_001, 0, prompt_cached_tokens=200_000), 50_002_500),
    Shape("a long answer does not", LONG, chat(199_999, 60_000), 849_998_750),
    Shape("below both steps", STEPS, chat(1_000, 10), 1_020_000),
    Shape("at the second step", STEPS, chat(2_000, 10), 4_040_000),
    Shape("beyond both steps", STEPS, chat(2_001, 10), 6_063_000),
    # hours and tiers of service
    Shape("within the cheap hours", NIGHT, chat(1_000, 1_000), 3_000_000),
    Shape("outside them", LATER, chat(1_000, 1_000), 6_000_000),
    Shape("a long prompt within them", LONG_NIGHT, chat(1_001, 10), 1_531_500),
    Shape("a tier that was asked for and given", TIERS, THOUSAND, 4_900_000,
          more={"tier": "priority"}, asks={"service_tier": "priority"}),
    Shape("a tier that was not given", TIERS, THOUSAND, 2_800_000,
          more={"tier": "default"}, asks={"service_tier": "priority"}),
    Shape("a cheaper tier", TIERS, THOUSAND, 1_400_000,
          more={"tier": "flex"}, asks={"service_tier": "flex"}),
    # free, unknown, reported
    Shape("free", FREE, chat(1_000, 1_000), 0),
    Shape("a price that nobody knows", UNKNOWN, THOUSAND, 0),
    Shape("a cost that the provider states", PLAIN, chat(1_000, 100, cost=0.000123), 123_000),
    Shape("that it is free", PLAIN, chat(1_000, 100, cost=0), 0),
    Shape("less than a nano-dollar", PLAIN, chat(1_000, 100, cost=1e-12), 1),
    Shape("one and a half nano-dollars", PLAIN, chat(1_000, 100, cost=1.5e-9), 2),
    Shape("a stated cost where nobody knows the price", UNKNOWN,
          chat(1_000, 100, cost=0.01), 10_000_000),
    # lies
    Shape("a cost that nobody believes", PLAIN, chat(1_000, 100, cost=2_000_000), 210_000),
    Shape("a negative cost", PLAIN, chat(1_000, 100, cost=-1), 210_000),
    Shape("a negative count", PLAIN, chat(1_000, -5), 150_000),
    Shape("more cached than there was", FULL, chat(100, 0, prompt_cached_tokens=500), 30_000),
    Shape("more in the classes than in all", FULL,
          chat(100, 0, prompt_cached_tokens=80, prompt_audio_tokens=80), 824_000),
    Shape("more tokens than there can be", PLAIN, chat(10**18, 0), 150 * 10**9),
    # "hi" is 34 units at most, so nine tokens; twelve bytes of answer are three.
    Shape("no usage at all", PLAIN, None, 3_150),
    Shape("nothing but nulls", PLAIN, chat(None, None), 3_150),
    # Anthropic's: what is cached stands beside the input
    Shape("Anthropic, plain", FULL, {"input_tokens": 1_000, "output_tokens": 100}, 4_500_000,
          speaks=A),
    Shape("Anthropic, read", FULL,
          {"input_tokens": 100, "cache_read_input_tokens": 900, "output_tokens": 10}, 720_000,
          speaks=A),
    Shape("Anthropic, written for five minutes", FULL,
          {"input_tokens": 10, "cache_creation_input_tokens": 1_000, "output_tokens": 3},
          3_825_000, speaks=A),
    Shape("Anthropic, written for an hour", FULL,
          {"input_tokens": 10, "cache_creation_input_tokens": 1_000,
           "cache_creation": written(0, 1_000), "output_tokens": 3}, 6_075_000, speaks=A),
    Shape("Anthropic, written for both", FULL,
          {"input_tokens": 10, "cache_creation_input_tokens": 1_000,
           "cache_creation": written(400, 600), "output_tokens": 3}, 5_175_000, speaks=A),
    Shape("Anthropic, written, told in parts only", FULL,
          {"input_tokens": 10, "cache_creation": written(400, 600), "output_tokens": 3},
          5_175_000, speaks=A),
    Shape("an hour at the price of five minutes", WRITES,
          {"input_tokens": 10, "cache_creation_input_tokens": 1_000,
           "cache_creation": written(0, 1_000), "output_tokens": 3}, 3_825_000, speaks=A),
    Shape("Anthropic, thinking", FULL,
          {"input_tokens": 10, "output_tokens": 100,
           "output_tokens_details": {"thinking_tokens": 60}}, 1_830_000, speaks=A),
    Shape("Anthropic, searches", SEARCH,
          {"input_tokens": 10, "output_tokens": 10,
           "server_tool_use": {"web_search_requests": 3}}, 30_180_000, speaks=A),
    Shape("Anthropic, a tier", TIERS, {"input_tokens": 1_000, "output_tokens": 100}, 4_900_000,
          speaks=A, more={"tier": "priority"}, asks={"service_tier": "priority"}),
    Shape("Anthropic, a long prompt", LONG,
          {"input_tokens": 1, "cache_read_input_tokens": 200_000, "output_tokens": 3},
          50_047_500, speaks=A),
    Shape("Anthropic, every class", FULL,
          {"input_tokens": 100, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 700,
           "cache_creation": written(300, 400), "output_tokens": 50,
           "output_tokens_details": {"thinking_tokens": 20}}, 4_735_000, speaks=A),
    # Google's: thinking stands beside the answer
    Shape("Google, plain", FULL, gemini(1_000, 100), 4_500_000, speaks=G),
    Shape("Google, thinking", FULL, gemini(100, 40, thoughtsTokenCount=60), 2_100_000, speaks=G),
    Shape("Google, cached", FULL, gemini(1_000, 10, cachedContentTokenCount=400), 2_070_000,
          speaks=G),
    Shape("Google, what tools brought in", FULL, gemini(100, 10, toolUsePromptTokenCount=50),
          600_000, speaks=G),
    Shape("Google, sound, some of it cached", FULL,
          gemini(1_000, 0, cachedContentTokenCount=100, promptTokensDetails=of("AUDIO", 300),
                 cacheTokensDetails=of("AUDIO", 100)), 10_130_000, speaks=G),
    Shape("Google, a picture made", FULL,
          gemini(10, 1_290, candidatesTokensDetails=of("IMAGE", 1_290)), 38_730_000, speaks=G),
    Shape("Google, film is input", FULL, gemini(600, 0, promptTokensDetails=of("VIDEO", 500)),
          1_800_000, speaks=G),
    Shape("Google, the answer told by the total", FULL,
          gemini(100, None, thoughtsTokenCount=20, totalTokenCount=150), 1_150_000, speaks=G),
    Shape("Google, a long prompt", LONG, gemini(200_001, 100), 501_502_500, speaks=G),
    # whose money
    Shape("a key of one's own", PLAIN, THOUSAND, 210_000, 0, whose="own"),
    Shape("a key of one's own that counts", PLAIN, THOUSAND, 210_000, whose="own, counted"),
    # A hold for "hi" is 34 units of input and 10 tokens of output: 11,100.
    Shape("within the hold", PLAIN, chat(10, 5), 4_500, whose="budget"),
    Shape("more than the hold", PLAIN, THOUSAND, 210_000, 11_100, whose="budget"),
    Shape("a stated cost above the hold", PLAIN, chat(10, 5, cost=0.25), 250_000_000, 11_100,
          whose="budget"),
)  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


class House(NamedTuple):
    """A gateway, the keys to ask it with, and the ids of the provider's keys that were brought."""

    served: Served
    keys: dict[str, str]
    brought: dict[str, str]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[House]:
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GEMINI_API_KEY": "sk-house-0123456789",
    }
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        keys = {"house": served.key, "budget": served.make_key("budget", limit=1_000_000)}
        brought = dict[str, str]()
        for whose in ("own", "own, counted"):
            keys[whose] = served.make_key(whose)
            account = served.call("GET", "/api/v1/key", key=keys[whose])[1]["data"]["id"]
            wish = {
                "provider": "custom",
                "key": "sk-own-0123456789",
                "account": account,
                "base_url": f"{provider.url}/v1",
                "include_byok_in_limit": whose != "own",
            }
            status, answer = served.call("POST", "/api/v1/byok", wish)
            assert status == 201, answer
            brought[whose] = answer["data"]["id"]
        yield House(served, keys, brought)


def offer(house: House, provider: Provider, shape: Shape) -> str:
    """Put the shape on offer as a model of its own; return the model's id."""
    number = SHAPES.index(shape)
    provider.replies[f"m{number}"] = Reply(usage=shape.usage, **shape.more)
    body: dict[str, Any] = {
        "id": f"shape/{number}",
        "upstream_model": f"m{number}",
        "speaks": shape.speaks,
        "url": {A: provider.url, G: f"{provider.url}/v1beta"}.get(
            shape.speaks, f"{provider.url}/v1"
        ),
        "key_env": "GEMINI_API_KEY" if shape.speaks == G else None,
        **shape.card,
    }
    if shape.whose in house.brought:
        body["byok"] = house.brought[shape.whose]
    status, answer = house.served.call("POST", "/api/v1/admin/models", body)
    assert status == 201, answer
    return body["id"]


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_every_shape_of_usage_costs_exactly_what_it_should(
    house: House, provider: Provider, shape: Shape
) -> None:
    model = offer(house, provider, shape)
    charged = shape.billed if shape.charged is None else shape.charged
    messages = [{"role": "user", "content": "hi"}]
    asked = {"model": model, "messages": messages, "max_tokens": 10, **shape.asks}
    key = house.keys[shape.whose]
    path = "/api/v1/chat/completions"
    status, answer = house.served.call("POST", path, asked, key=key)
    assert status == 200, answer
    told = [(answer["id"], answer["usage"]["cost_nanousd"])]
    told.append(streamed(house.served, {**asked, "stream": True}, key))
    for name, cost in told:
        assert cost == charged
        status, found = house.served.call("GET", f"/api/v1/generation?id={name}")
        kept = found["data"]
        assert (kept["billed_nanousd"], kept["charged_nanousd"]) == (shape.billed, charged)
        assert kept["estimated"] is (shape.usage is None or not any(shape.usage.values()))
        if shape.whose == "budget":
            assert kept["held_nanousd"] == 11_100


def streamed(served: Served, body: dict[str, Any], key: str) -> tuple[str, int]:
    """Return the id and the cost that a stream tells."""
    connection = http.client.HTTPConnection(served.host, timeout=30)
    headers = {"authorization": f"Bearer {key}"}
    connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
    reply = connection.getresponse()
    said = reply.read().decode()
    connection.close()
    assert reply.status == 200, said
    *_, last, done = [line for line in said.split("\n") if line.startswith("data: ")]
    assert done == "data: [DONE]"
    frame = json.loads(last.removeprefix("data: "))
    return frame["id"], frame["usage"]["cost_nanousd"]


def test_there_are_sixty_shapes_and_none_twice() -> None:
    assert len(SHAPES) >= 60
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)
