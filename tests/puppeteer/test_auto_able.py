"""Whom `glasslipper/auto` asks: nobody who is known not to be able to serve the request."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from recorder import Recorder

from glasslipper.testing.served import Served
from sdk_clients import openai_client

PICTURE = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    with Recorder(lambda _: {"content": "7"}) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:

        def offer(name: str, price: int, **more: Any) -> None:
            told = {"upstream_model": name, "price_in": str(price), "price_out": str(price)}
            served.add_model(name, upstream.url, **{**told, **more})

        offer("plain/words", 1, speaks="openai", upstream_model="gpt-3.5-turbo")
        offer("plain/eyes", 10, speaks="openai", upstream_model="gpt-4o")
        offer("room/small", 1, context_tokens=100)
        offer("room/large", 10)
        for number in range(6):
            offer(f"place/{number}", 1 + number, provider="here")
        offer("place/far", 10, provider="there")
        offer("finds/none", 1)
        offer("finds/some", 10, speaks="anthropic", upstream_model="claude-sonnet-4-5")
        yield served


def ask(gateway: Served, content: Any, only: str, **more: Any) -> Any:
    auto = {"allow": [only], "max_calls": 1, **more.pop("auto", {})}
    return openai_client(gateway).chat.completions.create(
        model="glasslipper/auto",
        messages=[{"role": "user", "content": content}],
        extra_body={"auto": auto, **more},
    )


def seen(words: str = "What is 3 + 4?") -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": words},
        {"type": "image_url", "image_url": {"url": PICTURE}},
    ]


def test_a_picture_is_shown_only_to_a_model_that_reads_pictures(
    gateway: Served, upstream: Recorder
) -> None:
    upstream.bodies.clear()
    assert ask(gateway, "What is 3 + 4?", "plain/*").model == "plain/words"
    assert ask(gateway, seen(), "plain/*").model == "plain/eyes"
    assert [body["model"] for body in upstream.bodies] == ["gpt-3.5-turbo", "gpt-4o"]


def test_tools_go_only_to_a_model_that_calls_tools(gateway: Served) -> None:
    assert ask(gateway, "What is 3 + 4?", "plain/*", tools=[TOOL]).model == "plain/eyes"


def test_a_schema_goes_only_to_a_model_that_keeps_to_schemas(gateway: Served) -> None:
    shape = {"name": "sum", "schema": {"type": "object"}}
    wanted = {"type": "json_schema", "json_schema": shape}
    answer = ask(gateway, "What is 3 + 4?", "plain/*", response_format=wanted)
    assert answer.model == "plain/eyes"


def test_a_prompt_goes_only_to_a_model_that_it_fits_into(gateway: Served) -> None:
    assert ask(gateway, "What is 3 + 4?", "room/*").model == "room/small"
    assert ask(gateway, "word " * 200, "room/*").model == "room/large"


def test_only_models_of_the_providers_that_the_request_allows_are_asked(gateway: Served) -> None:
    there = {"only": ["there"]}
    assert ask(gateway, "What is 3 + 4?", "place/*", provider=there).model == "place/far"
    capped = {"max_price": {"prompt": 0.5}}
    with pytest.raises(openai.NotFoundError, match="cap"):
        ask(gateway, "What is 3 + 4?", "place/*", provider=capped)


def test_a_tool_that_a_provider_runs_goes_only_to_who_may_have_it(gateway: Served) -> None:
    body = {
        "model": "glasslipper/auto",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "What is 3 + 4?"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "auto": {"allow": ["finds/*"], "max_calls": 1, "dry_run": True},
    }
    status, plan = gateway.call("POST", "/api/v1/messages", body, key=gateway.key)
    assert (status, plan["model"]) == (200, "finds/some")


def test_where_nobody_is_able_the_refusal_says_why(gateway: Served) -> None:
    with pytest.raises(openai.NotFoundError, match="providers that the request allows"):
        ask(gateway, "What is 3 + 4?", "place/*", provider={"only": ["nobody"]})
