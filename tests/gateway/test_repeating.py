"""Idempotency keys and feedback, over HTTP to a real gateway process."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from glasslipper.gateway.http import Http, Message
from glasslipper.gateway.idempotency import Recorded, Replay
from glasslipper.ledger.read import LedgerHistory
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    environ = {"GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models"))}
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        served.add_model("fake/slow", upstream.url, upstream_model="fake?gap_ms=5&tokens=40")
        served.add_model("fake/bad", upstream.url, upstream_model="fake?status=500")
        yield served


def ask(
    gateway: Served, token: str, *, model: str = "fake/slow", stream: bool = False, say: str = "hi"
) -> tuple[int, bytes, str | None]:
    connection = HTTPConnection(gateway.host, timeout=30)
    messages = [{"role": "user", "content": say}]
    body = json.dumps({"model": model, "stream": stream, "messages": messages})
    headers = {"Authorization": f"Bearer {gateway.key}", "Idempotency-Key": token}
    connection.request("POST", "/v1/chat/completions", body, headers)
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, data, reply.headers.get("x-idempotent-replay")


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_sent_again_is_served_once_and_answered_with_the_same_bytes(
    gateway: Served, upstream: FakeUpstream, stream: bool
) -> None:
    before = len(upstream.calls())
    first = ask(gateway, f"again-{stream}", stream=stream)
    second = ask(gateway, f"again-{stream}", stream=stream)
    assert (first[0], first[2]) == (200, None)
    assert second == (200, first[1], "true")
    assert len(upstream.calls()) == before + 1


@pytest.mark.parametrize("stream", [False, True])
def test_requests_at_the_same_time_share_one_call(
    gateway: Served, upstream: FakeUpstream, stream: bool
) -> None:
    before = len(upstream.calls())
    answers: list[tuple[int, bytes, str | None]] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(ask(gateway, f"together-{stream}", stream=stream))
        )
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({data for _, data, _ in answers}) == 1
    assert sorted(str(replay) for _, _, replay in answers) == ["None"] + ["true"] * 4
    assert len(upstream.calls()) == before + 1


def test_a_key_that_was_used_for_something_else_is_refused(gateway: Served) -> None:
    assert ask(gateway, "once", say="one")[0] == 200
    status, data, _ = ask(gateway, "once", say="two")
    assert status == 400
    assert json.loads(data)["error"]["param"] == "Idempotency-Key"


def test_an_error_is_not_kept(gateway: Served, upstream: FakeUpstream) -> None:
    before = len(upstream.calls())
    assert ask(gateway, "bad", model="fake/bad")[0] >= 500
    assert ask(gateway, "bad", model="fake/bad")[0] >= 500
    assert len(upstream.calls()) == before + 2


def test_a_reward_stands_beside_the_generation_it_is_about(gateway: Served) -> None:
    identity = json.loads(ask(gateway, "judged")[1])["id"]
    path = "/v1/generation/feedback"
    status, made = gateway.call(
        "POST", path, {"generation_id": identity, "reward": 0.75}, key=gateway.key
    )
    assert status == 201
    gateway.call("GET", "/v1/key", key=gateway.key)
    (fact,) = LedgerHistory(Path(gateway.home)).late_facts(generation_id=identity)
    assert (fact.id, fact.kind, fact.body["reward"]) == (made["data"]["id"], "feedback", 0.75)
    assert gateway.call("POST", path, {"session_id": "s", "reward": -1}, key=gateway.key)[0] == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reward": 1}, 400),
        ({"generation_id": "gen-none", "reward": 1}, 404),
        ({"generation_id": "x", "session_id": "y", "reward": 1}, 400),
        ({"session_id": "y", "reward": "good"}, 400),
    ],
)
def test_feedback_about_nothing_or_without_a_number_is_refused(
    gateway: Served, body: dict[str, object], status: int
) -> None:
    assert gateway.call("POST", "/v1/generation/feedback", body, key=gateway.key)[0] == status


def test_another_key_may_not_judge_what_it_did_not_ask(gateway: Served) -> None:
    identity = json.loads(ask(gateway, "private")[1])["id"]
    other = gateway.make_key("other")
    body = {"generation_id": identity, "reward": 1}
    assert gateway.call("POST", "/v1/generation/feedback", body, key=other)[0] == 404


def test_an_answer_that_is_kept_counts_as_begun_for_whoever_explains_errors() -> None:
    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    scope: Message = {"type": "http", "method": "POST", "path": "/", "headers": []}
    http = Http(scope, receive, send, NeverGone())
    recorded = Recorded(http, Replay(b""))
    asyncio.run(recorded.start_stream())
    assert http.started
    assert [message["type"] for message in sent] == ["http.response.start"]


class NeverGone:
    gone = False
    on_gone = None
