"""A real gateway process in front of a scripted provider, driven over HTTP."""

import http.client
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest

from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served
from sdk_clients import openai_client

SAY_HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        "GLASSLIPPER_HEADER_TIMEOUT_S": "1",
        "GLASSLIPPER_BODY_TIMEOUT_S": "1",
        "GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": "2",
        "GLASSLIPPER_WRITE_TIMEOUT_S": "1",
    }
    with Served(home, environ=environ) as served:
        served.add_model("fake/plain", upstream.url, upstream_model="fake")
        yield served


def offer(gateway: Served, upstream: FakeUpstream, script: str) -> str:
    """Offer the fake with a script of its own; return the model's id."""
    model = f"fake/{script or 'plain'}"
    gateway.add_model(model, upstream.url, upstream_model=f"fake?{script}")
    return model


def row(gateway: Served, generation_id: str) -> dict[str, Any]:
    status, answer = gateway.call("GET", f"/api/v1/generation?id={generation_id}")
    assert status == 200, answer
    return answer["data"]


def eventually(check: Callable[[], Any], within_s: float = 5.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return found


def raw(gateway: Served) -> socket.socket:
    host, _, port = gateway.host.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def reply_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())


def lives(gateway: Served) -> bool:
    return gateway.call("GET", "/healthz")[1]["status"] == "alive"


def test_an_answer_comes_whole_with_its_cost_and_its_row(gateway: Served) -> None:
    answer = openai_client(gateway).chat.completions.create(model="fake/plain", messages=SAY_HI)
    assert answer.choices[0].message.content == "".join(f"t{n} " for n in range(16))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 10
    assert answer.usage.completion_tokens == 16
    assert answer.usage.cost_nanousd == 10 * 1000 + 16 * 2000
    kept = row(gateway, answer.id)
    assert kept["status"] == "ok"
    assert kept["charged_nanousd"] == 42_000
    assert [attempt["status"] for attempt in kept["attempts"]] == ["ok"]
    (candidate,) = kept["candidates"]
    assert (candidate["endpoint"], candidate["propensity"]) == ("fake/plain@custom", 1.0)
    assert candidate["why"]


def test_a_stream_ends_with_usage_and_cost_that_are_already_recorded(gateway: Served) -> None:
    text, usage, identity = "", None, ""
    for chunk in openai_client(gateway).chat.completions.create(
        model="fake/plain", messages=SAY_HI, stream=True
    ):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage, identity = chunk.usage or usage, chunk.id
        if chunk.usage:
            assert row(gateway, identity)["charged_nanousd"] == chunk.usage.cost_nanousd
    assert text.startswith("t0 t1 ")
    assert usage.cost_nanousd == 42_000


def test_every_path_stands_below_both_prefixes(gateway: Served) -> None:
    for base in ("/api/v1", "/v1"):
        status, answer = gateway.call("GET", f"{base}/models")
        assert status == 200
        assert "fake/plain" in [model["id"] for model in answer["data"]]


def test_embeddings_are_priced_and_recorded(gateway: Served) -> None:
    answer = openai_client(gateway).embeddings.create(model="fake/plain", input=["a", "b"])
    assert [len(vector.embedding) for vector in answer.data] == [8, 8]
    assert answer.usage.cost_nanousd == answer.usage.prompt_tokens * 1000 > 0
    kept = row(gateway, answer.id)
    assert (kept["dialect"], kept["status"]) == ("embeddings", "ok")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "bad_json", None),
        (b"[]", 400, "invalid_request", "$"),
        (b'{"model": 1, "messages": []}', 400, "invalid_request", "$.model"),
        (
            b'{"model": "fake/plain", "messages": [{"role": "robot", "content": "x"}]}',
            400,
            "invalid_request",
            "$.messages[0].role",
        ),
        (
            b'{"model": "nobody/none", "messages": [{"role": "user", "content": "x"}]}',
            404,
            "model_not_found",
            "$.model",
        ),
    ],
)
def test_a_wrong_body_is_told_apart_by_status_code_and_param(
    gateway: Served, body: bytes, status: int, code: str, param: str | None
) -> None:
    connection = http.client.HTTPConnection(gateway.host, timeout=10)
    headers = {"Authorization": f"Bearer {gateway.key}"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    reply = connection.getresponse()
    error = json.loads(reply.read())["error"]
    connection.close()
    assert (reply.status, error["code"], error["param"]) == (status, code, param)
    assert error["metadata"]["hint"]
    assert lives(gateway)


def test_a_key_that_is_missing_unknown_expired_or_disabled_is_refused_by_name(
    gateway: Served,
) -> None:
    def code(key: str) -> str:
        with pytest.raises(openai.AuthenticationError) as refused:
            openai_client(gateway, key).chat.completions.create(model="fake/plain", messages=SAY_HI)
        return refused.value.code

    connection = http.client.HTTPConnection(gateway.host, timeout=10)
    connection.request("POST", "/v1/chat/completions", b"{}")
    assert json.loads(connection.getresponse().read())["error"]["code"] == "key_missing"
    connection.close()
    assert code("sk-gl-nobody") == "key_unknown"
    short = gateway.make_key("short", ttl_s=1)
    eventually(lambda: gateway.call("GET", "/v1/key", key=short)[0] == 401)
    assert code(short) == "key_expired"
    disabled = gateway.make_key("disabled")
    assert gateway.call("GET", "/v1/key", key=disabled)[0] == 200
    found = next(k for k in gateway.call("GET", "/v1/keys")[1]["data"] if k["name"] == "disabled")
    gateway.call("PATCH", f"/v1/keys/{found['id']}", {"disabled": True})
    assert code(disabled) == "key_disabled"


def test_only_a_management_key_manages(gateway: Served) -> None:
    for method, path in (("GET", "/v1/keys"), ("GET", "/v1/admin/spend"), ("POST", "/v1/keys")):
        status, answer = gateway.call(method, path, {"name": "x"}, key=gateway.key)
        assert (status, answer["error"]["code"]) == (403, "not_permitted")


def test_a_generation_is_shown_only_to_its_key(gateway: Served) -> None:
    made = openai_client(gateway).chat.completions.create(model="fake/plain", messages=SAY_HI)
    other = gateway.make_key("other")
    status, answer = gateway.call("GET", f"/v1/generation?id={made.id}", key=other)
    assert (status, answer["error"]["code"]) == (404, "generation_not_found")


def test_a_short_lived_key_spends_from_the_key_that_made_it(gateway: Served) -> None:
    parent = gateway.make_key("parent", limit_nanousd=10_000_000)
    status, made = gateway.call(
        "POST", "/v1/key/sessions", {"ttl_s": 60, "labels": {"run": "7"}}, key=parent
    )
    assert status == 201
    answer = openai_client(gateway, made["key"]).chat.completions.create(
        model="fake/plain", messages=SAY_HI, max_tokens=16
    )
    assert row(gateway, answer.id)["labels"] == {"run": "7"}
    assert gateway.call("GET", "/v1/key", key=parent)[1]["data"]["usage_nanousd"] == 42_000


def test_what_the_budget_does_not_cover_is_refused_with_what_is_left(gateway: Served) -> None:
    poor = gateway.make_key("poor", limit_nanousd=50_000)
    with pytest.raises(openai.APIStatusError) as refused:
        openai_client(gateway, poor).chat.completions.create(
            model="fake/plain", messages=SAY_HI, max_tokens=1000
        )
    assert refused.value.status_code == 402
    assert refused.value.code == "budget_exhausted"
    assert refused.value.body["metadata"]["left_nanousd"] == 50_000


def test_an_answer_without_max_tokens_shrinks_to_what_the_budget_allows_and_says_so(
    gateway: Served, upstream: FakeUpstream
) -> None:
    poor = gateway.make_key("shrinking", limit_nanousd=100_000)
    before = len(upstream.calls())
    answer = openai_client(gateway, poor).chat.completions.with_raw_response.create(
        model="fake/plain", messages=SAY_HI
    )
    allowed = int(answer.headers["x-max-tokens-shrunk-to"])
    assert 0 < allowed <= 50
    assert upstream.calls()[before]["max_tokens"] == allowed
    spent = gateway.call("GET", "/v1/key", key=poor)[1]["data"]
    assert spent["usage_nanousd"] + spent["limit_remaining_nanousd"] == 100_000


def test_a_model_without_a_price_is_refused_where_a_budget_applies(
    gateway: Served, upstream: FakeUpstream
) -> None:
    gateway.add_model("fake/unpriced", upstream.url, upstream_model="fake", price_in=None)
    capped = gateway.make_key("capped", limit_nanousd=1_000_000)
    with pytest.raises(openai.APIStatusError) as refused:
        openai_client(gateway, capped).chat.completions.create(
            model="fake/unpriced", messages=SAY_HI
        )
    assert (refused.value.status_code, refused.value.code) == (402, "price_unknown")


def test_a_cost_above_the_hold_is_charged_up_to_the_hold_and_the_rest_recorded(
    gateway: Served, upstream: FakeUpstream
) -> None:
    model = offer(gateway, upstream, "completion_tokens=5000&tokens=4")
    key = gateway.make_key("held", limit_nanousd=1_000_000)
    answer = openai_client(gateway, key).chat.completions.create(
        model=model, messages=SAY_HI, max_tokens=20
    )
    kept = row(gateway, answer.id)
    assert kept["billed_nanousd"] == 10 * 1000 + 5000 * 2000
    assert kept["charged_nanousd"] == kept["held_nanousd"] < 200_000


@pytest.mark.parametrize("fault", ["cut", "reset", "end", "stall", "malformed_json"])
def test_a_stream_that_breaks_says_so_and_is_recorded_as_truncated(
    gateway: Served, upstream: FakeUpstream, fault: str
) -> None:
    model = offer(gateway, upstream, f"fault={fault}&after=3")
    seen: list[str] = []
    identity = ""
    told = ""
    try:
        for chunk in openai_client(gateway).chat.completions.create(
            model=model, messages=SAY_HI, stream=True
        ):
            identity = chunk.id
            seen += [choice.delta.content or "" for choice in chunk.choices]
    except openai.APIError as error:
        told = error.message
    assert "".join(seen) == "t0 t1 t2 "
    assert told
    kept = row(gateway, identity)
    assert kept["status"] == "truncated"
    assert kept["charged_nanousd"] > 0
    assert kept["estimated"]


@pytest.mark.parametrize("fault", ["refuse", "malformed_http", "cut", "end", "error_event"])
def test_what_fails_before_the_first_word_is_an_error_with_a_status_and_costs_nothing(
    gateway: Served, upstream: FakeUpstream, fault: str
) -> None:
    model = offer(gateway, upstream, f"fault={fault}&after=0")
    with pytest.raises(openai.APIStatusError) as failed:
        openai_client(gateway).chat.completions.create(model=model, messages=SAY_HI, stream=True)
    assert failed.value.status_code in (502, 503, 504)
    assert lives(gateway)


def test_a_rate_limit_is_passed_on_with_its_pause(gateway: Served, upstream: FakeUpstream) -> None:
    model = offer(gateway, upstream, "status=429&retry_after=7")
    with pytest.raises(openai.RateLimitError) as limited:
        openai_client(gateway).chat.completions.create(model=model, messages=SAY_HI)
    assert limited.value.response.headers["retry-after"] == "7"


def test_leaving_a_stream_cancels_the_upstream_and_settles_what_was_produced(
    gateway: Served, upstream: FakeUpstream
) -> None:
    model = offer(gateway, upstream, "tokens=500&gap_ms=20")
    before = len(upstream.calls())
    stream = openai_client(gateway).chat.completions.create(
        model=model, messages=SAY_HI, stream=True
    )
    identity = next(iter(stream)).id
    stream.close()
    number = eventually(lambda: len(upstream.calls()) > before and upstream.calls()[before]["n"])
    sent = eventually(lambda: upstream.gone().get(number))
    assert sent < 400
    kept = eventually(lambda: gateway.call("GET", f"/v1/generation?id={identity}")[1].get("data"))
    assert (kept["status"], kept["cancelled"]) == ("cancelled", True)
    assert 0 < kept["charged_nanousd"] < 500 * 2000


def test_a_body_of_fifty_megabytes_is_refused_without_being_read(gateway: Served) -> None:
    connection = raw(gateway)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 52428800\r\n"
        f"Authorization: Bearer {gateway.key}\r\n\r\n"
    )
    connection.sendall(head.encode())
    status, answer = reply_of(connection)
    connection.close()
    assert (status, answer["error"]["code"]) == (413, "payload_too_large")


def test_a_chunked_body_without_an_end_is_refused_at_the_limit(gateway: Served) -> None:
    connection = raw(gateway)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {gateway.key}\r\n\r\n"
    )
    connection.sendall(head.encode())
    block = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    try:
        for _ in range(50):
            connection.sendall(block)
    except OSError:
        pass
    else:
        status, answer = reply_of(connection)
        assert (status, answer["error"]["code"]) == (413, "payload_too_large")
    finally:
        connection.close()
    assert lives(gateway)


def test_a_client_that_dribbles_its_header_is_shown_out(gateway: Served) -> None:
    connection = raw(gateway)
    connection.sendall(b"POST /v1/chat/completions HT")
    status, answer = reply_of(connection)
    connection.close()
    assert (status, answer["error"]["code"]) == (408, "request_timeout")


def test_a_client_that_never_says_anything_is_shown_out(gateway: Served) -> None:
    with raw(gateway) as connection:
        assert connection.recv(1) == b""


def test_a_client_that_dribbles_its_body_is_shown_out(gateway: Served) -> None:
    connection = raw(gateway)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        f"Authorization: Bearer {gateway.key}\r\n\r\n{{"
    )
    connection.sendall(head.encode())
    status, answer = reply_of(connection)
    connection.close()
    assert (status, answer["error"]["code"]) == (408, "request_timeout")


def test_what_is_not_http_is_refused_in_the_shape_of_every_error(gateway: Served) -> None:
    connection = raw(gateway)
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    status, answer = reply_of(connection)
    connection.close()
    assert (status, answer["error"]["code"]) == (400, "bad_json")


def test_a_client_that_closes_its_half_in_a_stream_is_settled_as_gone(
    gateway: Served, upstream: FakeUpstream
) -> None:
    model = offer(gateway, upstream, "tokens=500&gap_ms=10")
    body = json.dumps({"model": model, "messages": SAY_HI, "stream": True}).encode()
    connection = raw(gateway)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {gateway.key}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    start = connection.recv(4096)
    assert b" 200 " in start
    identity = start.split(b"x-generation-id: ")[1].split(b"\r\n")[0].decode()
    connection.shutdown(socket.SHUT_WR)
    kept = eventually(lambda: gateway.call("GET", f"/v1/generation?id={identity}")[1].get("data"))
    connection.close()
    assert kept["status"] == "cancelled"


def test_a_client_that_resets_in_the_middle_of_its_body_harms_nobody(gateway: Served) -> None:
    connection = raw(gateway)
    connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    assert lives(gateway)


def test_paths_and_methods_that_do_not_exist_are_told_apart(gateway: Served) -> None:
    assert gateway.call("GET", "/v1/nothing")[1]["error"]["code"] == "not_found"
    status, answer = gateway.call("DELETE", "/v1/chat/completions")
    assert status == 405
    assert "POST" in answer["error"]["message"]


def test_a_model_that_was_added_can_be_taken_away(gateway: Served, upstream: FakeUpstream) -> None:
    model = offer(gateway, upstream, "tokens=1")
    assert gateway.call("DELETE", f"/v1/admin/models/{quote(model, safe='')}")[0] == 200
    with pytest.raises(openai.NotFoundError):
        openai_client(gateway).chat.completions.create(model=model, messages=SAY_HI)


def test_stopping_lets_running_answers_end_and_refuses_new_ones(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    with Served(tmp_path) as served:
        model = offer(served, upstream, "tokens=60&gap_ms=20")
        stream = openai_client(served).chat.completions.create(
            model=model, messages=SAY_HI, stream=True
        )
        chunks = iter(stream)
        identity = next(chunks).id
        assert served.stop() == 0
        rest = list(chunks)
    assert rest[-1].usage.completion_tokens == 60
    with Served(tmp_path) as served:
        assert row(served, identity)["status"] == "ok"


def test_the_second_request_of_a_connection_must_arrive_in_time_too(gateway: Served) -> None:
    connection = raw(gateway)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply_of(connection)[0] == 200
    connection.sendall(b"POST /v1/chat/completions HT")
    status, answer = reply_of(connection)
    connection.close()
    assert (status, answer["error"]["code"]) == (408, "request_timeout")


def test_a_session_key_ends_with_the_key_that_made_it(gateway: Served) -> None:
    parent = gateway.make_key("stolen")
    child = gateway.call("POST", "/v1/key/sessions", {"ttl_s": 3600}, key=parent)[1]["key"]
    assert gateway.call("GET", "/v1/key", key=child)[0] == 200
    found = next(k for k in gateway.call("GET", "/v1/keys")[1]["data"] if k["name"] == "stolen")
    gateway.call("DELETE", f"/v1/keys/{found['id']}")
    status, answer = gateway.call("GET", "/v1/key", key=child)
    assert (status, answer["error"]["code"]) == (401, "key_disabled")


@pytest.mark.parametrize("script", ["tokens=400000", "fault=huge_frame&huge_bytes=30000000"])
def test_a_client_that_never_reads_keeps_no_upstream(
    gateway: Served, upstream: FakeUpstream, script: str
) -> None:
    model = offer(gateway, upstream, script)
    key = gateway.make_key(script[:40])
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, _, port = gateway.host.partition(":")
    connection.connect((host, int(port)))
    body = json.dumps({"model": model, "messages": SAY_HI, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def spent() -> dict[str, Any]:
        return gateway.call("GET", "/api/v1/key", key=key)[1]["data"]

    eventually(lambda: spent()["generations"] == 1, within_s=20)
    connection.close()
    assert lives(gateway)
