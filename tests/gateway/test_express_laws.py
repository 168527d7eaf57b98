"""Laws of the short way's parts: edges of frames, whole chunks, the tap, templates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.gateway.express.frames import Edges
from glasslipper.gateway.express.template import NotPlain, template
from glasslipper.gateway.express.told import Told
from glasslipper.gateway.providers.openai.answer import Reading
from glasslipper.gateway.providers.openai.plain import read_calls
from glasslipper.gateway.providers.openai.refusal import Refusals
from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.gateway.relayed import Relayed
from glasslipper.gateway.routing import ToolWatch
from glasslipper.gateway.transport.connection import Connection, Timeouts, whole_chunks
from glasslipper.kernel.errors import GlasslipperError
from glasslipper.kernel.events import Event, Folder, TextDelta
from glasslipper.kernel.messages import Request, Tool
from glasslipper.kernel.ports import Attempted


def frame(words: str) -> bytes:
    chunk = {"id": "c-1", "choices": [{"index": 0, "delta": {"content": words}}]}
    return b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode()


def read(data: bytes) -> Sequence[Event]:
    return [TextDelta(text=json.loads(data)["choices"][0]["delta"]["content"])]


@given(first=st.text(max_size=6), rest=st.lists(st.text(max_size=8), max_size=6))
def test_words_between_known_edges_are_those_that_decoding_finds(
    first: str, rest: list[str]
) -> None:
    edges = Edges()
    edges.learn(frame(first), lambda data: list(read(data)))
    data = b"".join(map(frame, rest))
    words = edges.words(data) if rest else None
    if words is not None:
        assert [json.loads(b'"%b"' % word) for word in words] == rest


def test_edges_are_not_learned_where_the_words_stand_elsewhere_too() -> None:
    edges = Edges()
    chunk = b'data: {"id":"hi","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    edges.learn(chunk, lambda data: list(read(data)))
    assert not edges.are_known
    assert edges.words(chunk) is None


def test_edges_are_learned_from_many_frames_at_once_and_learned_anew_when_they_change() -> None:
    edges = Edges()
    role = (
        b'data: {"id":"c-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    )
    first = b'data: {"id":"c-1","choices":[{"index":0,"delta":{"role":"a","content":"Hi"}}]}\n\n'
    edges.learn(b": waiting\n\n" + role + first, lambda data: list(read(data)))
    assert edges.are_known
    assert edges.words(frame("there")) is None
    edges.learn(frame("there") + frame("you"), lambda data: list(read(data)))
    assert edges.words(frame("a") + frame("b")) == [b"a", b"b"]


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_whole_chunks_are_what_the_parser_would_find(pieces: list[bytes]) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    assert whole_chunks(data) == b"".join(pieces)
    for cut in range(1, len(data)):
        found = whole_chunks(data[:cut])
        assert found is None or found == parsed(data[:cut])


@pytest.mark.parametrize(
    "data",
    [
        b"0\r\n\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        b"01\r\na\r\n",
        b"0x1\r\na\r\n",
        b"+1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1;x=y\r\na\r\n",
        b"1_0\r\n0123456789abcdef\r\n",
        b"2\r\na\r\n",
        b"1\r\nab\r\n",
        b"\r\n\r\n",
        b"-1\r\n\r\n",
    ],
)
def test_anything_but_whole_chunks_is_left_to_the_parser(data: bytes) -> None:
    assert whole_chunks(data) is None


def parsed(chunks: bytes) -> bytes:
    """Return the body that the parser finds."""
    body = list[bytes]()

    class Heard:
        on_body = staticmethod(body.append)

    parser = httptools.HttpResponseParser(Heard())
    parser.feed_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
    return b"".join(body)


class Keeping:
    """Keeps nothing."""

    def returned(self, connection: Connection) -> None:
        """Forget it."""

    def lost(self, connection: Connection) -> None:
        """Forget it."""


class Still(asyncio.Transport):
    """A transport that sends nothing."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        """Drop it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """Do nothing."""


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=8),
    cuts=st.sets(st.integers(0, 250), max_size=12),
    stubborn=st.integers(0, 3),
)
def test_a_tap_gets_the_body_that_the_parser_would_bring_however_it_is_cut(
    pieces: list[bytes], cuts: set[int], stubborn: int
) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    connection = Connection(Keeping())
    connection.connection_made(Still())
    reply = connection.ask_now(b"", timeouts=Timeouts(), now_s=0, heard=lambda: None)
    got = list[bytes]()
    calls = 0

    def tap(body: bytes) -> bool:
        nonlocal calls
        calls += 1
        if stubborn and calls % stubborn == 0:
            return False
        got.append(body)
        return True

    connection.data_received(head)
    reply.tap = tap
    places = [0, *sorted(at for at in cuts if 0 < at < len(chunks)), len(chunks)]
    for start, end in pairwise(places):
        connection.data_received(chunks[start:end])
        got.extend(reply.chunks)
        reply.chunks.clear()
    connection.data_received(b"0\r\n\r\n")
    assert reply.is_whole
    assert b"".join((*got, *reply.chunks)) == b"".join(pieces)


ODD_CALLS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.none() | st.text(max_size=3),
        "index": st.none() | st.integers(0, 2),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.none() | st.sampled_from(["look", "stop", ""]),
                "arguments": st.none()
                | st.sampled_from(["", "{}", '{"at": 1}', "{broken", "[1]"])
                | st.just({"at": 1}),
            },
        ),
    },
)
GOOD_CALLS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "c"]),
        "function": st.fixed_dictionaries(
            {
                "name": st.sampled_from(["look", "stop"]),
                "arguments": st.sampled_from(["{}", '{"at": "h\u00e9re"}', "{broken"]),
            }
        ),
    },
    optional={"type": st.just("function")},
)


def reading() -> tuple[Attempted, Reading]:
    attempted = Attempted(id="att-1", request=ASKED, upstream_model="m")
    return attempted, Reading(attempted, Refusals(PROVIDERS[0], None))


ASKED = Request(
    model="m",
    messages=(),
    tools=(
        Tool(name="look", parameters={"type": "object", "properties": {"at": {"type": "string"}}}),
        Tool(name="stop"),
    ),
)


@given(
    content=st.none() | st.text(max_size=5),
    calls=st.lists(GOOD_CALLS, min_size=1, max_size=3) | st.lists(ODD_CALLS | GOOD_CALLS),
    more=st.dictionaries(
        st.sampled_from(["reasoning", "refusal", "images", "annotations"]),
        st.sampled_from([None, "", "x", []]),
        max_size=1,
    ),
    finish=st.sampled_from(["tool_calls", "tool_calls", "stop", "length", None]),
    numbers=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_an_answer_that_calls_tools_says_what_the_usual_reading_finds(
    content: str | None,
    calls: list[Any],
    more: dict[str, Any],
    finish: str | None,
    numbers: tuple[int, int],
) -> None:
    message = {"role": "assistant", "content": content, "tool_calls": calls, **more}
    body = {
        "id": "c-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": numbers[0], "completion_tokens": numbers[1]},
    }
    data = json.dumps(body).encode()
    said = read_calls(data)
    if said is None:
        return
    _, usual = reading()
    folder = Folder()
    for event in [*usual.take(data), *usual.end()]:
        folder.add(event)
    answer = folder.answer()
    assert (said.text, said.finish, said.native) == (answer.text, answer.finish, "tool_calls")
    assert [(one.id, one.function.name, one.function.arguments) for one in said.calls] == [
        (one.id, one.name, one.arguments) for one in answer.tool_calls
    ]
    assert answer.usage is not None
    assert (said.prompt, said.completion) == (answer.usage.input, answer.usage.output)
    assert not (answer.reasoning)
    assert not (answer.refusal)
    assert not (answer.citations)


@given(
    pieces=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "content": st.text(max_size=4),
                "tool_calls": st.lists(ODD_CALLS | GOOD_CALLS, max_size=2),
            },
        ),
        max_size=5,
    ),
    finish=st.sampled_from(["tool_calls", "stop", "length"]),
)
def test_what_a_stream_of_calls_has_told_is_what_the_usual_way_counts(
    pieces: list[Any], finish: str
) -> None:
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in pieces]
    end = {
        "id": "c",
        "choices": [{"index": 0, "delta": {}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    attempted, usual = reading()
    told, relayed = Told(attempted), Relayed(ASKED)
    told.tools = ToolWatch(ASKED.tools)
    try:
        for chunk in [*chunks, end]:
            events = usual.take(json.dumps(chunk).encode())
            if not told.takes(events):
                return
            told.add(events)
            for event in events:
                relayed.count(event)
    except GlasslipperError:
        return
    events = usual.end()
    told.add(events)
    for event in events:
        relayed.count(event)
    assert relayed.tools is not None
    assert (told.size_bytes, told.calls) == (relayed.size_bytes, relayed.tools.calls)
    said = told.plain_end()
    if said is None:
        assert relayed.tools.fault() is not None
    else:
        assert relayed.finished is not None
        assert (said.finish, relayed.tools.fault()) == (relayed.finished.reason, None)


def test_a_template_is_refused_where_a_mark_is_missing_or_stands_twice() -> None:
    assert template(b"a@1@%", [(b"@1@", b"%d")]) % 7 == b"a7%"
    for written in (b"a", b"a@1@b@1@"):
        with pytest.raises(NotPlain):
            template(written, [(b"@1@", b"%d")])
