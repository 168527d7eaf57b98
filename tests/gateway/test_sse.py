"""The splitter of server-sent events, held against a plain reading of the WHATWG rules."""

from __future__ import annotations

import itertools
import re
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.gateway.sse import FRAME_MAX_BYTES, Frame, Splitter
from glasslipper.kernel.errors import StreamBroken

WORDS = [
    *(b"data", b"event", b"id", b"retry", b"dat", b":", b": ", b" ", b"\n", b"\r", b"\r\n"),
    *(b"\n\n", b"data: ", b'data: {"a":1}\n\n', b"event: x\n", b"\xef\xbb\xbf", b"\xef", b"\xbb"),
    *("é€😀".encode(), b"\x00", b"[DONE]", b"\xff"),
]
streams = st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=40).map(b"".join)


def reference(stream: bytes) -> list[Frame]:
    """Read a whole stream the slow and obvious way."""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    frames: list[Frame] = []
    event, data = b"", b""
    for line in lines[:-1]:
        if line == b"":
            if data:
                frames.append(Frame(event, data[:-1]))
            event, data = b"", b""
            continue
        field, _colon, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data += value + b"\n"
        elif field == b"event":
            event = value
    return frames


def split(*chunks: bytes) -> list[Frame]:
    splitter = Splitter()
    return [frame for chunk in chunks for frame in splitter.feed(chunk)]


@given(streams, st.lists(st.integers(0, 200), max_size=12))
def test_however_a_stream_is_cut_its_frames_are_those_of_the_rules(
    stream: bytes, cuts: list[int]
) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert split(*chunks) == split(stream) == reference(stream)


@given(streams)
def test_a_stream_that_comes_byte_by_byte_gives_the_same_frames(stream: bytes) -> None:
    assert split(*[stream[i : i + 1] for i in range(len(stream))]) == reference(stream)


@given(streams, st.lists(st.integers(0, 200), max_size=5))
def test_the_boundary_is_told_alike_however_the_stream_is_cut(
    stream: bytes, cuts: list[int]
) -> None:
    whole, cut = Splitter(), Splitter()
    whole.feed(stream)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for a, b in itertools.pairwise(edges):
        cut.feed(stream[a:b])
    assert whole.at_boundary == cut.at_boundary


@pytest.mark.parametrize(
    ("stream", "at_boundary"),
    [
        (b"", True),
        (b"data: 1\n\n", True),
        (b"data: 1\r\n\r\n", True),
        (b"data: 1\r\r", True),
        (b"data: 1\n\n: still there", True),
        (b"data: 1\n\n: still there\n", True),
        (b"data: 1\n", False),
        (b"data: 1\n\nd", False),
        (b"event: done\n", False),
        (b"\xef\xbb", False),
    ],
)
def test_it_is_known_whether_a_stream_ended_between_frames(
    stream: bytes, at_boundary: bool
) -> None:
    splitter = Splitter()
    splitter.feed(stream)
    assert splitter.at_boundary is at_boundary


def test_an_empty_chunk_between_cr_and_lf_changes_nothing() -> None:
    assert split(b"data: a\r", b"", b"\ndata: b\r\n\r", b"", b"\n") == [Frame(b"", b"a\nb")]


def test_several_data_lines_are_one_frame_and_comments_are_none() -> None:
    assert split(b": ping\n\n:\nevent: delta\ndata: a\ndata\ndata:b\nid: 7\n\n") == [
        Frame(b"delta", b"a\n\nb")
    ]


def test_a_frame_of_the_longest_size_passes_and_one_byte_more_is_an_error() -> None:
    text = b"x" * (FRAME_MAX_BYTES - len(b"data: \n"))
    assert split(b"data: " + text + b"\n\n")[0].data == text
    with pytest.raises(StreamBroken, match="longer than"):
        split(b"data: " + text + b"xy\n\n")


@pytest.mark.parametrize("filler", [b"data: " + b"x" * 1000 + b"\n", b"x" * 1007, b": " * 500])
def test_a_frame_without_end_is_an_error_and_never_held_in_memory(filler: bytes) -> None:
    splitter = Splitter()
    chunks = itertools.repeat(filler, 2 * FRAME_MAX_BYTES // len(filler))
    with pytest.raises(StreamBroken, match="longer than"):
        deque(map(splitter.feed, chunks), maxlen=0)
