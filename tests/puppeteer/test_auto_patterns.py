"""`glasslipper/auto` by a policy whose puppets think by patterns: what of the request they keep."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from recorder import Recorder

from glasslipper.puppeteer import versions
from glasslipper.puppeteer.linear import FEATURES, Card, Linear
from glasslipper.puppeteer.turns import Puppet
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import openai_client

SUM = {"role": "user", "content": "What is 3 + 4?"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    with Recorder(lambda _: {"content": "7"}) as recorder:
        yield recorder


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    home = tmp_path_factory.mktemp("home")
    with FakeUpstream() as fake, Served(home, environ=environ) as served:
        served.add_model("good/one", upstream.url, upstream_model="one")
        served.add_model("breaks/two", fake.url, upstream_model="fake?fault=cut&after=2&tokens=9")
        yield served


def taught(gateway: Served, *puppets: Puppet) -> None:
    """Let a policy run that asks these puppets in this order."""
    weights = np.zeros((len(puppets) + 1, len(FEATURES)))
    weights[:, 0] = [len(puppets) - place for place in range(len(puppets))] + [-9.0]
    policy = Linear(puppets, weights, card=Card(policy="taught@1"), most_turns=9)
    policy.save(gateway.home / "puppeteer" / "taught.json")
    versions.promote(gateway.home / "puppeteer", "taught.json")
    time.sleep(0.7)  # servers look twice a second


def ask(gateway: Served, messages: list[dict[str, Any]], **more: Any) -> Any:
    auto = more.pop("auto", {})
    return openai_client(gateway).chat.completions.create(
        model=more.pop("model", "glasslipper/auto"),
        messages=messages,  # type: ignore[arg-type]
        extra_body={"auto": auto},
        **more,
    )


def test_a_pattern_keeps_to_what_the_client_told_its_models(
    gateway: Served, upstream: Recorder
) -> None:
    taught(gateway, Puppet(model="good/one", pattern="reason"))
    upstream.bodies.clear()
    rules = [
        {"role": "system", "content": "Answer in Latin."},
        {"role": "developer", "content": "Name no names."},
    ]
    told = ask(gateway, [*rules, SUM]).model_extra["glasslipper"]
    assert [step["puppet"] for step in told["steps"]] == ["good/one#reason"]
    (body,) = upstream.bodies
    (system,) = [one["content"] for one in body["messages"] if one["role"] == "system"]
    assert system.startswith("Answer in Latin.\n\nName no names.\n\nThink in a few short steps.")


def test_a_number_too_long_to_be_one_makes_no_policy_ask_again_and_again(
    gateway: Served, upstream: Recorder
) -> None:
    taught(gateway, Puppet(model="good/one"))
    upstream.bodies.clear()
    ask(gateway, [{"role": "user", "content": f"What is {'9' * 400} + 4?"}])
    assert len(upstream.bodies) == 1


def test_providers_are_told_the_clients_metadata_and_nothing_of_steps(
    gateway: Served, upstream: Recorder
) -> None:
    taught(gateway, Puppet(model="good/one"))
    upstream.bodies.clear()
    ask(gateway, [SUM])
    ask(gateway, [SUM], metadata={"team": "blue"})
    assert [body.get("metadata") for body in upstream.bodies] == [None, {"team": "blue"}]


def test_what_must_be_of_a_schema_is_asked_as_the_client_asked(
    gateway: Served, upstream: Recorder
) -> None:
    taught(gateway, Puppet(model="good/one", pattern="reason"))
    upstream.bodies.clear()
    shape = {"type": "json_schema", "json_schema": {"name": "sum", "schema": {"type": "object"}}}
    ask(gateway, [SUM], response_format=shape)
    assert [body["messages"] for body in upstream.bodies] == [[SUM]]


@pytest.mark.parametrize("stream", [False, True])
def test_a_pattern_that_breaks_off_costs_no_answer_streamed_or_whole(
    gateway: Served, stream: bool
) -> None:
    taught(gateway, Puppet(model="breaks/two", pattern="reason"), Puppet(model="good/one"))
    answer = ask(gateway, [SUM], model="glasslipper/auto:fast", stream=stream)
    if stream:
        deltas = [choice.delta.content for chunk in answer for choice in chunk.choices]
        assert "".join(text or "" for text in deltas) == "7"
    else:
        assert answer.choices[0].message.content == "7"
