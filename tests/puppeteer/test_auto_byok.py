"""`glasslipper/auto` over providers' keys that accounts bring along."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from glasslipper.puppeteer import traffic
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

CHEAP, DEAR = "mistralai/mistral-small", "mistralai/mistral-large"
MOST_NANOUSD = 620_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with FakeUpstream(tokens=200, prompt_tokens=30) as upstream:
        environ = {
            "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
            "GLASSLIPPER_MISTRAL_BASE_URL": upstream.url,
            "MISTRAL_API_KEY": "",
        }
        with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
            yield served


def ask(gateway: Served, key: str, **auto: Any) -> tuple[int, dict[str, Any]]:
    body = {
        "model": "glasslipper/auto",
        "messages": [{"role": "user", "content": "What is 3 + 4?"}],
        "auto": {"allow": [CHEAP, DEAR], **auto},
    }
    return gateway.call("POST", "/api/v1/chat/completions", body, key=key)


def bringing(gateway: Served, name: str) -> str:
    """Return a key of the gateway that has a provider's key of its own."""
    ours = gateway.make_key(name)
    account = gateway.call("GET", "/api/v1/key", key=ours)[1]["data"]["id"]
    brought = {"provider": "mistral", "key": "sk-mine-abcdefghijkl", "account": account}
    assert gateway.call("POST", "/api/v1/byok", brought)[0] == 201
    return ours


def test_what_is_billed_to_a_brought_key_counts_as_cost_where_auto_learns(
    gateway: Served,
) -> None:
    _, answer = ask(gateway, bringing(gateway, "learns"))
    replay_id = answer["glasslipper"]["replay_id"]
    said = {"generation_id": replay_id, "reward": 1}
    assert gateway.call("POST", "/api/v1/generation/feedback", said)[0] == 201
    ends_s = time.monotonic() + 10
    while not (judged := traffic.read(gateway.home).judged):
        assert time.monotonic() < ends_s
        time.sleep(0.1)
    assert judged[0].usd > 0


def test_a_brought_key_lets_auto_ask_its_models_within_the_same_bound(gateway: Served) -> None:
    ours = bringing(gateway, "ours")
    assert ask(gateway, gateway.key)[0] == 404
    status, answer = ask(gateway, ours, max_cost_usd=MOST_NANOUSD / 1e9)
    assert status == 200, answer
    steps = answer["glasslipper"]["steps"]
    assert len(steps) > 1, answer
    rows = [
        gateway.call("GET", f"/api/v1/generation?id={step['generation_id']}")[1]["data"]
        for step in steps
    ]
    assert {row["charged_nanousd"] for row in rows} == {0}
    assert 0 < sum(row["billed_nanousd"] for row in rows) <= MOST_NANOUSD
