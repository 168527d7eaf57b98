"""What OpenRouter's generated clients demand of models, keys, credits and generations."""

from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

MISTRAL = "mistralai/mistral-small"
BODY = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(tokens=4) as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GLASSLIPPER_MISTRAL_BASE_URL": upstream.url,
        "MISTRAL_API_KEY": "",
        "GEMINI_API_KEY": "not-used",
        "ANTHROPIC_API_KEY": "not-used",
    }
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        served.add_model("fake/priced", upstream.url, upstream_model="fake")
        served.add_model("fake/cached", upstream.url, upstream_model="fake?cached_tokens=8",
                         prices={"cache_read": "0.1"})  # fmt: skip
        served.add_model("fake/unpriced", upstream.url, upstream_model="fake", price_in=None)
        yield served


def models(gateway: Served) -> dict[str, dict[str, Any]]:
    status, answer = gateway.call("GET", "/api/v1/models")
    assert status == 200
    assert answer["total_count"] == len(answer["data"])
    assert answer["links"] == {"next": None}
    return {model["id"]: model for model in answer["data"]}


def own_key(gateway: Served, key: str) -> dict[str, Any]:
    return gateway.call("GET", "/api/v1/key", key=key)[1]["data"]


def ask(gateway: Served, model: str, key: str | None = None) -> dict[str, Any]:
    body = {"model": model, **BODY}
    status, answer = gateway.call("POST", "/api/v1/chat/completions", body, key=key or gateway.key)
    assert status == 200, answer
    return answer


def test_a_model_says_what_it_reads_takes_and_costs(gateway: Served) -> None:
    found = models(gateway)["anthropic/claude-sonnet-4.5"]
    assert found["architecture"]["input_modalities"] == ["text", "image", "file"]
    assert found["architecture"]["modality"] == "text+image+file->text"
    assert {"tools", "reasoning", "top_k"} <= set(found["supported_parameters"])
    assert not {"seed", "logprobs", "logit_bias"} & set(found["supported_parameters"])
    assert found["pricing"]["prompt"] == "0.000003"
    assert found["pricing"]["input_cache_read"] == "0.0000003"
    assert found["pricing"]["input_cache_write_1h"] == "0.000006"
    assert found["links"]["details"] == "/api/v1/models/anthropic/claude-sonnet-4.5/endpoints"
    assert found["per_request_limits"] is None


def test_a_long_prompt_has_an_override_and_an_unknown_price_is_not_zero(gateway: Served) -> None:
    found = models(gateway)
    (longer,) = found["google/gemini-2.5-pro"]["pricing"]["overrides"]
    assert (longer["min_prompt_tokens"], longer["prompt"]) == (200_000, "0.0000025")
    unknown = found["fake/unpriced"]
    assert unknown["pricing"] == {"prompt": "-1", "completion": "-1"}
    assert unknown["price_source"] is None


def test_an_endpoint_tells_its_health_of_the_last_minutes_once_it_was_asked(
    gateway: Served,
) -> None:
    path = "/api/v1/models/fake/priced/endpoints"
    (before,) = gateway.call("GET", path)[1]["data"]["endpoints"]
    assert before["supports_tool_choice"] == {
        "auto": True,
        "function": True,
        "none": True,
        "required": True,
    }
    ask(gateway, "fake/priced")
    (after,) = gateway.call("GET", path)[1]["data"]["endpoints"]
    assert after["uptime_last_5m"] == 100
    assert after["throughput_last_5m"]["p50"] > 0
    assert after["latency_last_30m"] is None


def test_a_key_tells_every_budget_that_pays_for_it_and_which_is_the_tightest(
    gateway: Served,
) -> None:
    parent = gateway.make_key("team", limit=1.0, limit_reset="monthly")
    status, made = gateway.call(
        "POST", "/api/v1/key/sessions", {"ttl_s": 600, "limit": 2.0}, key=parent
    )
    assert status == 201
    ask(gateway, "fake/priced", made["key"])
    found = own_key(gateway, made["key"])
    assert [budget["scope"] for budget in found["budgets"]] == ["key_limit", "key"]
    assert found["effective_budget"]["limit_usd"] == 1.0
    assert found["effective_budget"]["reset_interval"] == "monthly"
    assert found["effective_budget"]["spend_usd"] >= 18_000e-9
    assert found["workspace_id"] == "ws-default"
    assert found["organization_id"] == "org-default"
    assert found["rate_limit"]["requests"] == -1
    assert found["last_used_at"] is not None
    (shown,) = (
        one for one in gateway.call("GET", "/api/v1/keys")[1]["data"] if one["id"] == found["id"]
    )
    assert shown["last_used_at"] == found["last_used_at"]
    assert own_key(gateway, parent)["last_used_at"] is None


def test_what_a_brought_key_was_billed_is_told_apart(
    gateway: Served, upstream: FakeUpstream
) -> None:
    key = gateway.make_key("brings its own")
    account = own_key(gateway, key)["id"]
    wish = {"provider": "mistral", "key": "sk-mine-abcdefghijkl", "account": account}
    assert gateway.call("POST", "/api/v1/byok", wish)[0] == 201
    answer = ask(gateway, MISTRAL, key)
    assert answer["usage"]["is_byok"] is True
    upstream_usd = answer["usage"]["cost_details"]["upstream_inference_cost"]
    assert upstream_usd > 0
    assert answer["usage"]["cost"] == 0
    found = own_key(gateway, key)
    assert found["byok_usage"] == found["byok_usage_daily"] == upstream_usd
    assert found["usage"] == 0
    assert found["include_byok_in_limit"] is False


def test_credits_without_a_budget_are_as_many_as_a_budget_could_allow(gateway: Served) -> None:
    free = gateway.call("GET", "/api/v1/credits", key=gateway.make_key("free"))[1]["data"]
    assert free["total_credits"] > 4e9
    assert free["total_credits_nanousd"] is None
    bound = gateway.make_key("bound", limit=3)
    assert gateway.call("GET", "/api/v1/credits", key=bound)[1]["data"]["total_credits"] == 3.0


def test_a_generation_tells_what_its_cache_saved_and_what_providers_answered(
    gateway: Served,
) -> None:
    answer = ask(gateway, "fake/cached")
    found = gateway.call("GET", f"/api/v1/generation?id={answer['id']}")[1]["data"]
    assert found["cache_discount"] == 7.2e-06
    assert (found["api_type"], found["dialect"]) == ("completions", "chat")
    assert found["workspace_id"] == "ws-default"
    (response,) = found["provider_responses"]
    assert (response["status"], response["endpoint_id"]) == (200, "fake/cached@custom")
    plain = ask(gateway, "fake/priced")
    found = gateway.call("GET", f"/api/v1/generation?id={plain['id']}")[1]["data"]
    assert found["cache_discount"] is None


def test_usage_tells_what_the_prompt_and_what_the_answer_cost(gateway: Served) -> None:
    usage = ask(gateway, "fake/priced")["usage"]
    assert usage["cost_details"] == {
        "upstream_inference_cost": 18_000e-9,
        "upstream_inference_prompt_cost": 10_000e-9,
        "upstream_inference_completions_cost": 8_000e-9,
    }
    assert ask(gateway, "fake/unpriced")["usage"]["cost_details"] is None
