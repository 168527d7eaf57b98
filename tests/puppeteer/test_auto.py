"""`glasslipper/auto` as clients see it: a real gateway in front of scripted providers."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from glasslipper.puppeteer import versions
from glasslipper.puppeteer.linear import FEATURES, Card, Linear
from glasslipper.puppeteer.turns import Puppet
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import anthropic_client, openai_client

ASK = [{"role": "user", "content": "Is it so?"}]
LIE = "completion_tokens=100000000&prompt_tokens=100000000&usage=always&cost=999"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": "2",
        "GLASSLIPPER_FIRST_BYTE_TIMEOUT_S": "2",
    }
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:

        def offer(name: str, script: str, price: int = 1) -> None:
            served.add_model(
                name,
                upstream.url,
                upstream_model=f"fake?{script}",
                price_in=str(price),
                price_out=str(2 * price),
            )

        offer("good/cheap", "text=no", 1)
        offer("good/dear", "text=yes it is", 10)
        offer("tool/one", "tool=look_up", 1)
        offer("busy/cheap", "status=429&retry_after=60", 1)
        offer("mute/cheap", "text=", 1)
        offer("mute/dear", "text=", 10)
        offer("lie/cheap", f"text=no&{LIE}", 1)
        offer("lie/dear", f"text=yes&{LIE}", 10)
        offer("stall/a", f"text=one two three&fault=stall&after=1&{LIE}", 1)
        offer("stall/b", "delay_ms=60000", 2)
        offer("fail/a", "status=500", 1)
        offer("fail/b", f"text=some words&fault=cut&after=1&{LIE}", 2)
        offer("fail/c", f"text=other words&fault=error_event&after=1&{LIE}", 3)
        yield served


def ask(gateway: Served, only: str = "good/*", model: str = "glasslipper/auto", **auto: Any) -> Any:
    return openai_client(gateway).chat.completions.create(
        model=model,
        messages=ASK,  # type: ignore[arg-type]
        extra_body={"auto": {"allow": [only], **auto}},
    )


def record(gateway: Served, generation_id: str) -> dict[str, Any]:
    status, answer = gateway.call("GET", f"/api/v1/generation?id={generation_id}")
    assert status == 200, answer
    return answer["data"]


def test_it_is_listed_with_the_card_of_its_policy(gateway: Served) -> None:
    _, answer = gateway.call("GET", "/api/v1/models")
    listed = {one["id"]: one for one in answer["data"]}
    for name in ("glasslipper/auto", "glasslipper/auto:fast", "glasslipper/auto:best"):
        assert listed[name]["policy"]["policy"]
    version = listed["glasslipper/auto"]["policy"]["policy"]
    assert f"glasslipper/auto@{version}" in listed
    assert ask(gateway, model=f"glasslipper/auto@{version}").choices[0].message.content
    with pytest.raises(openai.NotFoundError):
        ask(gateway, model="glasslipper/auto@nobody.7")


def test_usage_and_cost_sum_all_calls_and_each_is_a_record_of_its_own(gateway: Served) -> None:
    answer = ask(gateway)
    told = answer.model_extra["glasslipper"]
    steps = told["steps"]
    assert [step["model"] for step in steps] == ["good/cheap", "good/dear"]
    assert answer.model == "good/dear" == told["model"]
    assert answer.usage.completion_tokens == sum(step["usage"]["output"] for step in steps)
    charged = sum(step["charged_nanousd"] for step in steps)
    assert charged == told["charged_nanousd"] == answer.usage.cost_nanousd
    for step in steps:
        row = record(gateway, step["generation_id"])
        assert row["charged_nanousd"] == step["charged_nanousd"]
        assert row["labels"]["conductor"] == "glasslipper/auto"


def test_feedback_goes_to_the_replay_id(gateway: Served) -> None:
    replay_id = ask(gateway).model_extra["glasslipper"]["replay_id"]
    status, _ = gateway.call(
        "POST", "/api/v1/generation/feedback", {"generation_id": replay_id, "reward": 1}
    )
    assert status == 201


def test_an_explicit_model_always_wins(gateway: Served) -> None:
    answer = openai_client(gateway).chat.completions.create(
        model="good/dear",
        messages=ASK,  # type: ignore[arg-type]
        extra_body={"auto": {"allow": ["good/cheap"]}},
    )
    assert answer.model == "good/dear"
    assert "glasslipper" not in (answer.model_extra or {})


def test_globs_calls_and_the_dial_are_heeded(gateway: Served) -> None:
    assert ask(gateway, "good/cheap").model == "good/cheap"
    assert ask(gateway, deny=["*/dear"]).model == "good/cheap"
    assert len(ask(gateway, max_calls=1).model_extra["glasslipper"]["steps"]) == 1
    assert len(ask(gateway, pin="turn").model_extra["glasslipper"]["steps"]) == 1
    assert ask(gateway, dial=0).model == "good/cheap"
    assert ask(gateway, dial=10).model == "good/dear"
    with pytest.raises(openai.NotFoundError, match="may be called"):
        ask(gateway, "nothing/*")
    with pytest.raises(openai.BadRequestError, match="auto"):
        ask(gateway, max_calls=0)
    with pytest.raises(openai.BadRequestError, match="auto"):
        ask(gateway, no_such_wish=True)


def test_a_dry_run_says_what_it_would_do_and_calls_nobody(
    gateway: Served, upstream: FakeUpstream
) -> None:
    _, before = gateway.call("GET", "/api/v1/key", key=gateway.key)
    status, plan = gateway.call(
        "POST",
        "/api/v1/chat/completions",
        {
            "model": "glasslipper/auto",
            "messages": ASK,
            "auto": {"dry_run": True, "allow": ["good/*"]},
        },
        key=gateway.key,
    )
    _, after = gateway.call("GET", "/api/v1/key", key=gateway.key)
    assert status == 200
    assert plan["object"] == "glasslipper.plan"
    assert plan["model"] == "good/cheap"
    assert plan["why"]
    assert plan["ceiling_nanousd"] > plan["expected_nanousd"] > 0
    assert after["data"]["generations"] == before["data"]["generations"]


def test_the_answer_streams_and_steps_come_only_when_asked_for(gateway: Served) -> None:
    def frames(**auto: Any) -> list[str]:
        import http.client

        connection = http.client.HTTPConnection(gateway.host, timeout=30)
        body = {
            "model": "glasslipper/auto",
            "messages": ASK,
            "stream": True,
            "auto": {"allow": ["good/*"], **auto},
        }
        connection.request(
            "POST",
            "/api/v1/chat/completions",
            json.dumps(body),
            {"Authorization": f"Bearer {gateway.key}"},
        )
        text = connection.getresponse().read().decode()
        connection.close()
        return [frame for frame in text.split("\n\n") if frame]

    quiet = frames()
    assert all(frame.startswith("data: ") for frame in quiet)
    chunks = [json.loads(frame[6:]) for frame in quiet if frame != "data: [DONE]"]
    text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert text == "yes it is"
    assert {chunk["model"] for chunk in chunks} == {"good/dear"}
    told = frames(steps=True)
    events = [frame for frame in told if frame.startswith("event: glasslipper.step")]
    assert len(events) == 2
    assert json.loads(events[0].split("data: ")[1])["text"] == "no"


def test_tools_pass_through_untouched(gateway: Served) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    for stream in (False, True):
        answer = openai_client(gateway).chat.completions.create(
            model="glasslipper/auto",
            messages=ASK,  # type: ignore[arg-type]
            tools=[tool],  # type: ignore[list-item]
            stream=stream,
            extra_body={"auto": {"allow": ["tool/*"]}},
        )
        if stream:
            calls = [
                call
                for chunk in answer
                for choice in chunk.choices
                for call in choice.delta.tool_calls or ()
            ]
            assert calls[0].function.name == "look_up"
            assert "".join(call.function.arguments or "" for call in calls) == '{"city": "Paris"}'
        else:
            (call,) = answer.choices[0].message.tool_calls
            assert (call.function.name, call.function.arguments) == ("look_up", '{"city": "Paris"}')
            assert answer.choices[0].finish_reason == "tool_calls"


def test_other_dialects_reach_it_too(gateway: Served) -> None:
    claude = anthropic_client(gateway)
    message = claude.messages.create(
        model="glasslipper/auto",
        max_tokens=64,
        messages=[{"role": "user", "content": "Is it so?"}],
        extra_body={"auto": {"allow": ["good/*"]}},
    )
    assert message.content[0].text == "yes it is"
    with claude.messages.stream(
        model="glasslipper/auto",
        max_tokens=64,
        messages=[{"role": "user", "content": "Is it so?"}],
        extra_body={"auto": {"allow": ["good/*"]}},
    ) as stream:
        assert stream.get_final_text() == "yes it is"
    response = openai_client(gateway).responses.create(
        model="glasslipper/auto", input="Is it so?", extra_body={"auto": {"allow": ["good/*"]}}
    )
    assert response.output_text == "yes it is"


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_of_auto_may_be_continued(gateway: Served, stream: bool) -> None:
    def say(words: str, **more: Any) -> Any:
        answer = openai_client(gateway).responses.create(
            model="glasslipper/auto",
            input=words,
            stream=stream,
            extra_body={"auto": {"allow": ["good/*"]}},
            **more,
        )
        return [event for event in answer][-1].response if stream else answer

    first = say("Is it so?")
    second = say("Why?", previous_response_id=first.id)
    assert second.output_text == "yes it is"
    assert openai_client(gateway).responses.retrieve(second.id).id == second.id


def test_a_session_may_be_pinned_and_let_go(gateway: Served) -> None:
    def say(**auto: Any) -> str:
        return (
            openai_client(gateway)
            .chat.completions.create(
                model="glasslipper/auto",
                messages=ASK,  # type: ignore[arg-type]
                extra_body={"session_id": "s-1", "auto": auto},
            )
            .model
        )

    assert say(allow=["good/dear"], pin="session") == "good/dear"
    assert say(allow=["good/*"], max_calls=1) == "good/dear"
    say(allow=["good/*"], max_calls=1, pin="none", dial=0)
    assert say(allow=["good/cheap"], max_calls=1) == "good/cheap"


def test_a_pin_outlasts_a_request_that_may_not_heed_it_and_ends_when_it_is_told_to(
    gateway: Served,
) -> None:
    def say(**auto: Any) -> str:
        return (
            openai_client(gateway)
            .chat.completions.create(
                model="glasslipper/auto",
                messages=ASK,  # type: ignore[arg-type]
                extra_body={"session_id": "s-pins", "auto": {"max_calls": 1, **auto}},
            )
            .model
        )

    assert say(allow=["good/dear"], pin="session") == "good/dear"
    assert say(allow=["good/cheap"]) == "good/cheap"
    assert say(allow=["good/*"], dial=0) == "good/dear"
    assert say(allow=["good/*"], dial=0, pin="none") == "good/cheap"
    assert say(allow=["good/*"], dial=0) == "good/cheap"


@pytest.mark.parametrize("path", ["messages/count_tokens", "models/glasslipper/auto:countTokens"])
def test_its_prompts_can_be_counted(gateway: Served, path: str) -> None:
    root = "/api/v1/" if path.startswith("messages") else "/v1beta/"
    asked = {"model": "glasslipper/auto", "messages": ASK}
    said = {"contents": [{"role": "user", "parts": [{"text": "Is it so?"}]}]}
    body = asked if path.startswith("messages") else said
    status, counted = gateway.call("POST", root + path, body, key=gateway.key)
    assert status == 200, counted
    assert next(iter(counted.values())) > 0


def test_steps_never_stand_in_a_stream_that_is_one_json_array(gateway: Served) -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "Is it so?"}]}],
        "auto": {"allow": ["good/*"], "steps": True},
    }
    path = "/v1beta/models/glasslipper/auto:streamGenerateContent"
    status, pieces = gateway.call("POST", path, body, key=gateway.key)
    assert status == 200
    parts = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]  # type: ignore[index]
    assert "".join(part.get("text", "") for part in parts) == "yes it is"


def test_a_warm_prompt_is_not_given_up_for_a_small_saving(gateway: Served) -> None:
    def plan(session: str) -> dict[str, Any]:
        body = {
            "model": "glasslipper/auto",
            "session_id": session,
            "messages": [{"role": "user", "content": "word " * 4000}],
            "auto": {"dry_run": True, "allow": ["good/*"]},
        }
        return gateway.call("POST", "/api/v1/chat/completions", body, key=gateway.key)[1]

    openai_client(gateway).chat.completions.create(
        model="glasslipper/auto",
        messages=ASK,  # type: ignore[arg-type]
        extra_body={"session_id": "warm", "auto": {"allow": ["good/dear"]}},
    )
    cold, warm = plan("cold"), plan("warm")
    assert warm["candidates"]["good/cheap"] >= cold["candidates"]["good/cheap"]
    assert warm["candidates"]["good/dear"] <= cold["candidates"]["good/dear"]


@pytest.mark.parametrize("only", ["good/*", "lie/*", "fail/*", "stall/*", "*"])
@pytest.mark.parametrize("cap", [0.0, 0.00002, 0.002, 0.05])
def test_max_cost_is_never_passed_whatever_the_upstream_does(
    gateway: Served, only: str, cap: float
) -> None:
    for model, stream in (("glasslipper/auto", False), ("glasslipper/auto:best", True)):
        before = spent(gateway)
        try:
            answer = openai_client(gateway).chat.completions.create(
                model=model,
                messages=ASK,  # type: ignore[arg-type]
                stream=stream,
                extra_body={"auto": {"allow": [only], "max_cost_usd": cap, "max_latency_ms": 700}},
            )
            if stream:
                list(answer)
        except openai.APIError:
            pass
        assert spent(gateway) - before <= round(cap * 1e9)


def test_time_that_is_up_gives_the_leading_answer_or_an_error(gateway: Served) -> None:
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError) as error:
        ask(gateway, "stall/b", max_latency_ms=700)
    assert error.value.status_code == 504
    assert time.monotonic() - began < 5


def test_a_model_that_fails_is_made_up_for_by_another(gateway: Served) -> None:
    answer = openai_client(gateway).chat.completions.create(
        model="glasslipper/auto:fast",
        messages=ASK,  # type: ignore[arg-type]
        extra_body={"auto": {"allow": ["fail/a", "good/dear"]}},
    )
    assert answer.choices[0].message.content == "yes it is"
    steps = answer.model_extra["glasslipper"]["steps"]
    assert [step["status"] for step in steps] == ["provider_refused", "ok"]


def test_a_model_that_stalls_is_made_up_for_while_there_is_time(gateway: Served) -> None:
    answer = openai_client(gateway).chat.completions.create(
        model="glasslipper/auto",
        messages=ASK,  # type: ignore[arg-type]
        extra_body={"auto": {"allow": ["stall/b", "good/dear"], "dial": 3}},
    )
    assert answer.model == "good/dear"
    steps = answer.model_extra["glasslipper"]["steps"]  # type: ignore[index]
    assert [step["status"] for step in steps] == ["timeout", "ok"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_last_model_that_says_nothing_does_not_take_the_place_of_an_answer(
    gateway: Served, stream: bool
) -> None:
    def text(*allow: str) -> str:
        answer = openai_client(gateway).chat.completions.create(
            model="glasslipper/auto",
            messages=ASK,  # type: ignore[arg-type]
            stream=stream,
            extra_body={"auto": {"allow": list(allow)}},
        )
        if not stream:
            return answer.choices[0].message.content
        choices = [choice for chunk in answer for choice in chunk.choices]
        return "".join(choice.delta.content or "" for choice in choices)

    assert text("good/cheap", "mute/dear") == "no"
    assert text("mute/*") == ""


def test_a_model_that_nobody_called_takes_no_call_of_those_that_are_allowed(
    gateway: Served,
) -> None:
    def model(key: str | None = None, **auto: Any) -> str:
        return (
            openai_client(gateway, key)
            .chat.completions.create(
                model="glasslipper/auto",
                messages=ASK,  # type: ignore[arg-type]
                extra_body={"auto": {"max_calls": 1, **auto}},
            )
            .model
        )

    with suppress(openai.RateLimitError):  # it is called once; then it rests
        model(allow=["busy/cheap", "good/dear"])
    assert model(allow=["busy/cheap", "good/dear"]) == "good/dear"
    poor = gateway.make_key("a little", limit=0.0003)
    assert model(poor, allow=["good/*"], dial=10) == "good/cheap"


def test_a_budget_of_the_key_holds_too(gateway: Served) -> None:
    key = gateway.make_key("poor", limit=0.0)
    with pytest.raises(openai.APIStatusError) as error:
        openai_client(gateway, key).chat.completions.create(
            model="glasslipper/auto",
            messages=ASK,  # type: ignore[arg-type]
            extra_body={"auto": {"allow": ["good/*"]}},
        )
    assert error.value.status_code == 402


def test_a_provider_that_lies_is_believed_in_the_record_but_not_in_the_bill(
    gateway: Served,
) -> None:
    answer = ask(gateway, "lie/cheap", max_cost_usd=0.002)
    told = answer.model_extra["glasslipper"]
    row = record(gateway, told["replay_id"])
    assert row["billed_nanousd"] > 2_000_000
    assert told["charged_nanousd"] == row["charged_nanousd"] <= 2_000_000


def spent(gateway: Served) -> int:
    """Return what the key has been charged, once the counters stand still."""
    seen = [-2, -1]
    while seen[-1] != seen[-2]:
        time.sleep(0.12)
        status, answer = gateway.call("GET", "/api/v1/key", key=gateway.key)
        assert status == 200
        seen.append(answer["data"]["usage_nanousd"])
    return seen[-1]


def test_a_learned_policy_lets_a_real_model_write_a_program_and_runs_it(
    tmp_path: Path, smol_path: Path
) -> None:
    puppet = Puppet(model="local/smol", pattern="python")
    weights = np.zeros((2, len(FEATURES)))
    Linear([puppet], weights, card=Card(policy="taught@1")).save(
        tmp_path / "puppeteer" / "taught.json"
    )
    versions.promote(tmp_path / "puppeteer", "taught.json")
    with Served(tmp_path, environ={"GLASSLIPPER_MODELS": str(smol_path.parent)}) as gateway:
        answer = openai_client(gateway).chat.completions.create(
            model="glasslipper/auto",
            messages=[{"role": "user", "content": "What is 286 - 97?\nPrint the answer."}],
            temperature=0,
            seed=1,
        )
    told = answer.model_extra["glasslipper"]
    assert told["policy"] == "taught@1"
    assert [step["puppet"] for step in told["steps"]] == ["local/smol#python"]
    assert told["steps"][0]["usage"]["cpu_us"] > 0
    assert told["charged_nanousd"] > 0
    assert answer.choices[0].message.content.strip().lstrip("-").replace(".", "").isdigit()
