"""Learning from real traffic: a gateway, clients that judge, `learn`, and who is asked then."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.cli import run as run_command
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

SUM = "What is {} + {}?"
TALE = "Write about {} and {}."
RIGHT = {SUM: "four", TALE: "once upon a time"}


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    environ = {"GLASSLIPPER_MODELS": str(tmp_path / "none"), "GLASSLIPPER_AUTO_EXPLORE": "0.8"}
    with (
        FakeUpstream() as upstream,
        Served(tmp_path / "home", environ=environ) as served,
    ):
        for name, text in (("good/sums", RIGHT[SUM]), ("good/tales", RIGHT[TALE])):
            served.add_model(name, upstream.url, upstream_model=f"fake?text={text}")
        yield served


class Client:
    """Asks and judges, over one connection."""

    def __init__(self, gateway: Served) -> None:
        self._key = gateway.key
        self.connection = http.client.HTTPConnection(gateway.host, timeout=60)

    def post(self, path: str, body: object) -> tuple[dict[str, Any], str]:
        headers = {"Authorization": f"Bearer {self._key}"}
        self.connection.request("POST", path, json.dumps(body), headers)
        reply = self.connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status in (200, 201), answer
        return answer, reply.headers.get("x-policy", "")

    def ask(self, task: str, number: int, **more: Any) -> tuple[dict[str, Any], str]:
        body = {
            "model": "glasslipper/auto:fast",
            "messages": [{"role": "user", "content": task.format(number, number + 1)}],
            "session_id": f"s-{number}-{task[:3]}",
            **more,
        }
        return self.post("/api/v1/chat/completions", body)

    def judge(self, task: str, number: int) -> None:
        """Ask and post a reward: for half of the answers by replay id, else by session id."""
        answer, _ = self.ask(task, number)
        reward = float(answer["choices"][0]["message"]["content"] == RIGHT[task])
        about = (
            {"generation_id": answer["glasslipper"]["replay_id"]}
            if number % 2
            else {"session_id": f"s-{number}-{task[:3]}"}
        )
        self.post("/api/v1/generation/feedback", {"reward": reward, **about})

    def policy(self) -> str:
        return self.ask(SUM, random.randrange(10**9))[1]


@pytest.fixture
def client(gateway: Served) -> Iterator[Client]:
    made = Client(gateway)
    with contextlib.closing(made.connection):
        yield made


def command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run_command(["puppeteer", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def until_served(client: Client, version: str) -> None:
    ends_s = time.monotonic() + 10
    while client.policy() != version:
        assert time.monotonic() < ends_s, f"{version} is not served"
        time.sleep(0.1)


def test_a_policy_learned_from_traffic_is_promoted_served_and_taken_back(
    gateway: Served, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.policy() == "ladder.1"
    for number in range(250):
        client.judge(SUM, number)
        client.judge(TALE, number)

    lesson = command(capsys, "learn")
    assert lesson["judged"] == 500
    assert lesson["episodes"] == 501
    assert lesson["promoted"], lesson
    assert lesson["gain"][1] > 0.1
    assert set(lesson["estimates"]) == {"ips", "snips", "dr"}
    assert lesson["models"] == ["good/sums", "good/tales"]

    until_served(client, "learned-1")
    said = [
        client.ask(task, 1000 + number)[0]["choices"][0]["message"]["content"] == RIGHT[task]
        for number in range(25)
        for task in (SUM, TALE)
    ]
    assert sum(said) >= 45
    _, by_rule = client.ask(SUM, 2000, model="glasslipper/auto@ladder.1")
    assert by_rule == "ladder.1"
    _, models = gateway.call("GET", "/api/v1/models")
    cards = {one["id"]: one.get("policy", {}) for one in models["data"]}
    assert cards["glasslipper/auto"]["policy"] == "learned-1"
    assert cards["glasslipper/auto"]["gain_low"] == pytest.approx(lesson["gain"][1], abs=1e-4)

    assert command(capsys, "back")["running"] == ""
    until_served(client, "ladder.1")
    _, by_name = client.ask(SUM, 2001, model="glasslipper/auto@learned-1")
    assert by_name == "learned-1"

    command(capsys, "watch", "learned-1")
    time.sleep(0.6)
    for number in range(20):
        client.judge(SUM, 3000 + number)
    again = command(capsys, "learn")
    assert again["shadow_agreed"] is not None
    assert again["version"] == "learned-2.json"
    assert command(capsys, "policies")["running"] == "learned-2"


def test_the_record_holds_no_words(gateway: Served, client: Client) -> None:
    client.ask("Write about {} and the slipper {}.", 7)
    gateway.stop()
    for path in gateway.home.rglob("*"):
        if path.is_file():
            assert b"the slipper" not in path.read_bytes(), path


def test_with_nothing_judged_it_says_what_to_do(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.ask(SUM, 1)
    assert run_command(["puppeteer", "learn", "--json"]) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert "0 judged answers" in error["message"]
    assert "feedback" in json.dumps(error)
