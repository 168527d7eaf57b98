"""`glasslipper/auto` where things could go wrong: itself, tools, clients that leave."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from recorder import Recorder

from glasslipper.kernel.clock import SystemClock
from glasslipper.ledger.read import Accounts, LedgerHistory
from glasslipper.puppeteer import versions
from glasslipper.puppeteer.linear import FEATURES, Card, Linear
from glasslipper.puppeteer.turns import Puppet
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import openai_client

TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look it up.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALL = {"id": "call_1", "type": "function"}
CALLED = {**CALL, "function": {"name": "look_up", "arguments": '{"city": "Paris"}'}}


def taught(home: Path, *puppets: Puppet) -> None:
    """Let a policy run that asks these puppets in this order."""
    weights = np.zeros((len(puppets) + 1, len(FEATURES)))
    weights[:, 0] = [len(puppets) - place for place in range(len(puppets))] + [-9.0]
    policy = Linear(puppets, weights, card=Card(policy="taught@1"), most_turns=9)
    policy.save(home / "puppeteer" / "taught.json")
    versions.promote(home / "puppeteer", "taught.json")


def environ(tmp_path: Path) -> dict[str, str]:
    return {"GLASSLIPPER_MODELS": str(tmp_path / "none")}


def test_auto_never_calls_auto(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with FakeUpstream() as upstream:
        auto = Puppet(model="glasslipper/auto", pattern="conclude")
        taught(home, Puppet(model="good/one"), auto)
        with Served(home, environ=environ(tmp_path)) as gateway:
            gateway.add_model("good/one", upstream.url, upstream_model="fake?text=7")
            answer = openai_client(gateway).chat.completions.create(
                model="glasslipper/auto", messages=[{"role": "user", "content": "What is 3 + 4?"}]
            )
            told = answer.model_extra["glasslipper"]  # type: ignore[index]
            assert [step["model"] for step in told["steps"]] == ["good/one"]
            assert told["policy"] == "ladder.1"
            with pytest.raises(openai.NotFoundError, match="may be called"):
                openai_client(gateway).chat.completions.create(
                    model="glasslipper/auto",
                    messages=[{"role": "user", "content": "What is 3 + 4?"}],
                    extra_body={"auto": {"allow": ["glasslipper/*"]}},
                )


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Served]:
    with (
        FakeUpstream() as upstream,
        Served(tmp_path / "home", environ=environ(tmp_path)) as gateway,
    ):
        for name, script, price in (
            ("slow/a", "text=no", 1),
            ("slow/b", "tokens=400&gap_ms=50", 10),
            ("late/b", "delay_ms=15000", 10),
        ):
            gateway.add_model(
                name,
                upstream.url,
                upstream_model=f"fake?{script}",
                price_in=str(price),
                price_out=str(price),
            )
        yield gateway


def test_a_seed_makes_the_draws_of_the_policy_and_of_the_models_repeatable(
    tmp_path: Path,
) -> None:
    explores = {**environ(tmp_path), "GLASSLIPPER_AUTO_EXPLORE": "1"}
    with (
        Recorder(lambda _: {"content": "7"}) as upstream,
        Served(tmp_path / "home", environ=explores) as gateway,
    ):
        for place, name in enumerate(("good/one", "good/two", "good/three"), start=1):
            price = str(place)
            gateway.add_model(
                name, upstream.url, upstream_model=name, price_in=price, price_out=price
            )

        def first(seed: int) -> str:
            body = {
                "model": "glasslipper/auto",
                "messages": [{"role": "user", "content": "What is 3 + 4?"}],
                "auto": {"dry_run": True, "seed": seed},
            }
            return gateway.call("POST", "/api/v1/chat/completions", body, key=gateway.key)[1][
                "puppet"
            ]

        drawn = [first(seed) for seed in range(12)]
        assert drawn == [first(seed) for seed in range(12)]
        assert len(set(drawn)) > 1
        for own, sent in ((None, 7), (9, 9)):
            upstream.bodies.clear()
            openai_client(gateway).chat.completions.create(
                model="glasslipper/auto",
                messages=[{"role": "user", "content": "What is 3 + 4?"}],
                seed=own,
                extra_body={"auto": {"seed": 7, "max_calls": 1}},
            )
            assert [body["seed"] for body in upstream.bodies] == [sent]


@pytest.mark.parametrize(("stream", "second_model"), [(True, "slow/b"), (False, "late/b")])
def test_a_client_that_leaves_mid_episode_leaves_no_hold_and_its_spend_is_recorded(
    slow: Served, stream: bool, second_model: str
) -> None:
    connection = http.client.HTTPConnection(slow.host, timeout=30)
    with closing(connection):
        body = {
            "model": "glasslipper/auto",
            "stream": stream,
            "messages": [{"role": "user", "content": "Is it so?"}],
            "auto": {"max_cost_usd": 0.05, "allow": ["slow/a", second_model]},
        }
        headers = {"Authorization": f"Bearer {slow.key}"}
        connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
        if stream:
            assert connection.getresponse().read(40)
        else:
            time.sleep(0.5)
    with closing(Accounts(slow.home)) as accounts, closing(LedgerHistory(slow.home)) as history:
        (key,) = [one for one in accounts.keys() if not one.management]
        ends_s = time.monotonic() + 10
        while len(rows := list(history.generations())) < 2:
            assert time.monotonic() < ends_s, rows
            time.sleep(0.1)
        first, second = sorted(rows, key=lambda one: one.created_ms)
        assert (first.model, first.status) == ("slow/a", "ok")
        assert (second.model, second.status) == (second_model, "cancelled")
        assert second.charged_nanousd > 0
        while True:
            spent = accounts.spending(key.id, SystemClock().now_ms())
            if spent.held_nanousd == 0 and spent.generations == 2:
                break
            assert time.monotonic() < ends_s, spent
            time.sleep(0.1)
        assert spent.total_nanousd == first.charged_nanousd + second.charged_nanousd


def test_a_gateway_that_is_killed_mid_episode_charges_no_more_than_was_allowed(
    slow: Served,
) -> None:
    most_usd = 0.001
    connection = http.client.HTTPConnection(slow.host, timeout=30)
    with closing(connection):
        body = {
            "model": "glasslipper/auto",
            "stream": True,
            "messages": [{"role": "user", "content": "Is it so?"}],
            "auto": {"max_cost_usd": most_usd, "allow": ["slow/b"], "max_calls": 1},
        }
        headers = {"Authorization": f"Bearer {slow.key}"}
        connection.request("POST", "/api/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        while b"t24 " not in answer.readline():
            pass
        slow.kill()
    slow.start()
    with closing(LedgerHistory(slow.home)) as history:
        ends_s = time.monotonic() + 20
        while not (rows := list(history.generations())):
            assert time.monotonic() < ends_s
            time.sleep(0.1)
    (row,) = rows
    assert row.status == "unknown"
    assert 0 < row.charged_nanousd <= most_usd * 1e9


def test_tools_and_their_results_pass_untouched_in_a_streamed_session(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> dict[str, Any]:
        is_told = body["messages"][-1]["role"] == "tool"
        return {"content": "It is sunny."} if is_told else {"tool_calls": [CALLED]}

    with (
        Recorder(reply) as upstream,
        Served(tmp_path / "home", environ=environ(tmp_path)) as gateway,
    ):
        for name, price in (("tool/cheap", "1"), ("tool/dear", "10")):
            gateway.add_model(
                name, upstream.url, upstream_model=name, price_in=price, price_out=price
            )
        talk: list[dict[str, Any]] = [{"role": "user", "content": "How is the weather?"}]

        def stream() -> tuple[dict[str, Any], str]:
            chunks = list(
                openai_client(gateway).chat.completions.create(
                    model="glasslipper/auto",
                    messages=talk,  # type: ignore[arg-type]
                    tools=[TOOL],  # type: ignore[list-item]
                    tool_choice="auto",
                    stream=True,
                    extra_body={"session_id": "s-1"},
                )
            )
            deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
            calls = [call for delta in deltas for call in delta.tool_calls or ()]
            text = "".join(delta.content or "" for delta in deltas)
            message: dict[str, Any] = {"role": "assistant", "content": text or None}
            if calls:
                arguments = "".join(call.function.arguments or "" for call in calls)  # type: ignore[union-attr]
                named = {"name": calls[0].function.name, "arguments": arguments}  # type: ignore[union-attr]
                message["tool_calls"] = [{**CALL, "function": named}]
            return message, chunks[0].model

        message, first = stream()
        assert message["tool_calls"] == [CALLED]
        talk += [message, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]
        message, second = stream()
        assert message["content"] == "It is sunny."
        assert first == second
        asked = upstream.bodies
        assert len(asked) == 2
        assert [one["tools"] for one in asked] == [[TOOL], [TOOL]]
        assert asked[1]["messages"][1]["tool_calls"] == [CALLED]
        assert asked[1]["messages"][2] == talk[-1]


def test_a_policy_may_call_the_tools_that_the_settings_name(tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> dict[str, Any]:
        told = body["messages"][-1]["content"]
        if "Tools:" in str(told):
            return {"content": json.dumps({"name": "sums.add", "arguments": {"a": 19, "b": 23}})}
        return {"content": "42"}

    home = tmp_path / "home"
    home.mkdir()
    program = [sys.executable, str(Path(__file__).parents[1] / "tools" / "server.py"), "stdio"]
    (home / "settings.toml").write_text(
        f'[tools.sums]\ncommand = {json.dumps(program)}\ndeny = ["d*"]\n', encoding="utf-8"
    )
    finds = Puppet(model="good/one", pattern="tool")
    taught(home, finds, Puppet(model="good/one", pattern="refine"))
    with Recorder(reply) as upstream, Served(home, environ=environ(tmp_path)) as gateway:
        gateway.add_model("good/one", upstream.url, upstream_model="one")
        answer = openai_client(gateway).chat.completions.create(
            model="glasslipper/auto", messages=[{"role": "user", "content": "What is 19 + 23?"}]
        )
        steps = answer.model_extra["glasslipper"]["steps"]  # type: ignore[index]
        assert [step["puppet"] for step in steps] == ["good/one#tool", "good/one#refine"]
        assert answer.choices[0].message.content == "42"
        first, second = upstream.bodies
        assert "sums.add(a, b): Add two numbers." in first["messages"][-1]["content"]
        assert "sums.die" not in first["messages"][-1]["content"]
        shown = second["messages"][-1]["content"]
        assert shown.index("[good/one#tool]") < shown.index("[tool#result]\n42")
    (home / "settings.toml").write_text("[tools.sums]\n", encoding="utf-8")
    with pytest.raises(RuntimeError), Served(home, environ=environ(tmp_path)):
        pass
