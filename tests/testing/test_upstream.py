"""The fake provider must behave exactly, also where it misbehaves."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from glasslipper.testing import FakeUpstream

WAIT_S = 20.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as it:
        yield it


@pytest.fixture
def client(upstream: FakeUpstream) -> Iterator[OpenAI]:
    with OpenAI(base_url=upstream.url, api_key="none", max_retries=0) as it:
        yield it


def eventually(condition: Callable[[], object]) -> None:
    """Wait until something outside this process is so."""
    give_up_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up_s, "it did not come to pass"
        time.sleep(0.01)


def said(upstream: FakeUpstream, model: str, *, stream: bool = True, **fields: Any) -> bytes:
    """Return every byte of an answer, up to the end of the connection."""
    with connected(upstream, model, stream=stream, **fields) as link:
        data = b""
        while piece := link.recv(65536):
            data += piece
        return data


def connected(
    upstream: FakeUpstream, model: str, *, stream: bool = True, **fields: Any
) -> socket.socket:
    """Send a request that asks for the connection to end, and return the connection."""
    body = json.dumps({"model": model, "stream": stream, "messages": [], **fields}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    head += f"x-request-id: mine\r\ncontent-length: {len(body)}\r\n\r\n"
    link = socket.create_connection(("127.0.0.1", upstream.port), timeout=WAIT_S)
    link.sendall(head.encode() + body)
    return link


def frames(answer: bytes) -> list[Any]:
    """Return the JSON of a stream's events; what is not JSON as text."""
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"data: ")]
    events: list[Any] = []
    for line in lines:
        text = line.removeprefix(b"data: ").strip()
        try:
            events.append(json.loads(text))
        except json.JSONDecodeError:
            events.append(text.decode())
    return events


def texts(events: list[Any]) -> list[str]:
    choices = [event["choices"][0] for event in events if isinstance(event, dict)]
    return [text for choice in choices if (text := choice["delta"].get("content"))]


def test_an_openai_client_reads_its_answers(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    answer = client.chat.completions.create(
        model="fake?text=one two  three&cost=0.25&cached_tokens=4", messages=messages, user="u"
    )
    assert answer.choices[0].message.content == "one two  three"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (10, 3)
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 4
    assert usage.model_dump()["cost"] == 0.25


def test_an_openai_client_reads_its_streams(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    stream = client.chat.completions.create(
        model="fake?tokens=5",
        messages=messages,
        stream=True,
        max_tokens=3,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    said_ = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert said_ == ["", "t0 ", "t1 ", "t2 ", None]
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def test_an_openai_client_reads_its_tool_calls(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    answer = client.chat.completions.create(model="fake?tool=weather", messages=messages)
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert (calls[0].function.name, calls[0].function.arguments) == ("weather", '{"city": "Paris"}')
    stream = client.chat.completions.create(
        model="fake?tool=weather", messages=messages, stream=True
    )
    deltas = [chunk.choices[0].delta.tool_calls for chunk in stream]
    pieces = [delta[0].function.arguments for delta in deltas if delta and delta[0].function]
    assert "".join(piece or "" for piece in pieces) == '{"city": "Paris"}'


def test_an_openai_client_reads_its_vectors_and_models(client: OpenAI) -> None:
    vectors = client.embeddings.create(model="fake?dimensions=3", input=["a", "b"])
    assert [each.embedding for each in vectors.data] == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    plain = client.embeddings.create(model="fake", input=[5, 6], encoding_format="float")
    assert len(plain.data) == 1
    assert [model.id for model in client.models.list()] == ["fake"]


def test_an_error_status_comes_with_its_retry_after(upstream: FakeUpstream) -> None:
    answer = said(upstream, "fake?status=429&retry_after=7")
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nretry-after: 7\r\n" in answer


@pytest.mark.parametrize("model", ["fake?nonsense=1", "fake?tokens=many", "fake?fault=unheard"])
def test_a_knob_that_does_not_exist_is_a_clear_error(upstream: FakeUpstream, model: str) -> None:
    assert said(upstream, model).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("fault", "sent", "ends_with"),
    [
        ("cut", 2, b'"finish_reason":null}]}\n\n\r\n'),
        ("end", 2, b"\r\n0\r\n\r\n"),
        ("malformed_http", 2, b"this is no chunk\r\n"),
        ("no_done", 4, b'"finish_reason":"stop"}]}\n\n\r\n0\r\n\r\n'),
    ],
)
def test_a_faulty_stream_breaks_after_the_frame_that_is_scripted(
    upstream: FakeUpstream, fault: str, sent: int, ends_with: bytes
) -> None:
    answer = said(upstream, f"fake?tokens=4&fault={fault}&after=2")
    assert texts(frames(answer)) == [f"t{index} " for index in range(sent)]
    assert answer.endswith(ends_with)
    assert b"[DONE]" not in answer


def test_a_reset_is_a_reset_after_the_frame_that_is_scripted(upstream: FakeUpstream) -> None:
    with connected(upstream, "fake?tokens=9&fault=reset&after=2&gap_ms=1") as link:
        pieces: list[bytes] = []
        with pytest.raises(ConnectionResetError):
            pieces.extend(iter(lambda: link.recv(65536), b""))
    assert texts(frames(b"".join(pieces))) == ["t0 ", "t1 "]


def test_a_refusal_closes_without_a_word(upstream: FakeUpstream) -> None:
    assert said(upstream, "fake?fault=refuse") == b""
    assert said(upstream, "fake?fault=refuse", stream=False) == b""


def test_an_error_inside_the_stream_is_its_last_event(upstream: FakeUpstream) -> None:
    events = frames(said(upstream, "fake?tokens=4&fault=error_event&after=1"))
    assert events[-1]["error"]["message"] == "the provider broke down"
    assert texts(events[:-1]) == ["t0 "]


def test_rubbish_and_huge_frames_stand_where_they_are_scripted(upstream: FakeUpstream) -> None:
    events = frames(said(upstream, "fake?tokens=2&fault=malformed_json&after=1"))
    assert events[2] == '{"id": "chat'
    assert texts(events[:2] + events[3:]) == ["t0 ", "t1 "]
    huge = frames(said(upstream, "fake?tokens=2&fault=huge_frame&after=1&huge_bytes=3000000"))
    assert texts(huge) == ["t0 ", "x" * 3_000_000, "t1 "]


def test_a_wrong_length_announces_more_than_it_sends(upstream: FakeUpstream) -> None:
    for stream in (True, False):
        answer = said(upstream, "fake?fault=wrong_length", stream=stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert length == len(body) + 100


@pytest.mark.parametrize(
    ("knobs", "asked", "expected"),
    [
        ("", False, None),
        ("", True, 2),
        ("&usage=always", False, 2),
        ("&usage=missing", True, None),
        ("&completion_tokens=999999", True, 999_999),
    ],
)
def test_usage_is_told_missed_or_lied_about(
    upstream: FakeUpstream, knobs: str, asked: bool, expected: int | None
) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    events = frames(said(upstream, f"fake?tokens=2{knobs}", **options))
    usages = [event["usage"] for event in events if isinstance(event, dict) and "usage" in event]
    assert [usage["completion_tokens"] for usage in usages] == (
        [] if expected is None else [expected]
    )


def test_a_call_is_written_down_before_its_answer_begins(upstream: FakeUpstream) -> None:
    before = len(upstream.calls())
    with connected(upstream, "fake?delay_ms=60000", user="someone"):
        eventually(lambda: len(upstream.calls()) > before)
        call = upstream.calls()[-1]
        assert call["n"] == before + 1
        assert (call["request_id"], call["user"], call["stream"]) == ("mine", "someone", True)
        assert abs(call["at_ms"] - time.time() * 1000) < 60_000
    eventually(lambda: upstream.gone().get(before + 1) == 0)


def test_who_leaves_a_stream_is_written_down_with_the_frames_sent(upstream: FakeUpstream) -> None:
    before = len(upstream.calls())
    with connected(upstream, "fake?tokens=1000&fault=stall&after=3&gap_ms=5") as link:
        data = b""
        while data.count(b"\n\n") < 4:
            data += link.recv(65536)
    eventually(lambda: upstream.gone().get(before + 1) == 3)


def test_who_reads_to_the_end_is_not_gone(upstream: FakeUpstream) -> None:
    before = len(upstream.calls())
    assert b"[DONE]" in said(upstream, "fake?tokens=3&gap_ms=5")
    said(upstream, "fake", stream=False)
    assert not {before + 1, before + 2} & upstream.gone().keys()


def test_the_times_of_a_script_are_kept(upstream: FakeUpstream) -> None:
    began_s = time.monotonic()  # the loop counts whole milliseconds, hence the slack
    with connected(upstream, "fake?tokens=3&delay_ms=50&first_ms=100&gap_ms=60") as link:
        link.recv(1)
        head_s = time.monotonic() - began_s
        while link.recv(65536):
            pass
    assert head_s >= 0.045
    assert time.monotonic() - began_s >= 0.05 + 0.1 + 2 * 0.06 - 0.005


def test_requests_on_one_connection_are_answered_in_turn(upstream: FakeUpstream) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=WAIT_S)
    for tokens in (1, 2, 3):
        body = json.dumps({"model": f"fake?tokens={tokens}&gap_ms=1", "stream": True})
        connection.request("POST", "/v1/chat/completions", body)
        assert connection.getresponse().read().count(b'"content":"t') == tokens
    connection.close()


def test_flags_are_the_script_of_calls_that_say_nothing() -> None:
    with FakeUpstream(text="from a flag", cost=0.5) as it:
        answer = json.loads(said(it, "m", stream=False).partition(b"\r\n\r\n")[2])
        assert answer["choices"][0]["message"]["content"] == "from a flag"
        assert answer["usage"]["cost"] == 0.5
        own = json.loads(said(it, "m?text=own", stream=False).partition(b"\r\n\r\n")[2])
        assert own["choices"][0]["message"]["content"] == "own"


def test_it_comes_back_on_the_same_port_and_goes_on_in_the_same_log(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    with FakeUpstream(log=log) as first:
        said(first, "fake")
    with FakeUpstream(log=log, port=first.port) as second:
        said(second, "fake")
        assert len(second.calls()) == 2
    assert not reachable(first.port)


def test_a_wrong_flag_is_told_at_once() -> None:
    command = [sys.executable, "-m", "glasslipper.testing.upstream", "--fault", "unheard"]
    done = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert b"unheard" in done.stderr


def test_it_dies_with_the_process_that_started_it() -> None:
    program = (
        "import os, time\n"
        "from glasslipper.testing import FakeUpstream\n"
        "it = FakeUpstream().start()\n"
        "print(it.port, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert reachable(port)
        parent.send_signal(signal.SIGKILL)
    eventually(lambda: not reachable(port))


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S).close()
    except ConnectionRefusedError:
        return False
    return True
