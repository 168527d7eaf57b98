"""Reads an answer as a strict client does: is it whole, an error, or cut; and is every frame valid?

Knows five dialects from their public documentation, and nothing of how ours are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

Ending = Literal["whole", "error", "cut"]
Json = Mapping[str, Any]

DIALECTS = ("chat", "completions", "responses", "messages", "gemini")


class Reading(Struct, kw_only=True):
    """How an answer ended, what was wrong with its frames, and what it said."""

    ending: Ending
    faults: list[str] = field(default_factory=list)
    error: Any = None


class Frame(Struct, kw_only=True):
    """One server-sent event."""

    event: str | None
    data: Any


def read_whole(body: bytes) -> Reading:
    """Read an answer that is one JSON object."""
    try:
        value = json.loads(body)
    except ValueError as error:
        return Reading(ending="cut", faults=[f"not JSON: {error}: {body[:80]!r}"])
    if not isinstance(value, dict):
        return Reading(ending="whole", faults=[f"not an object: {body[:80]!r}"])
    if value.get("error"):
        return Reading(ending="error", error=value["error"])
    return Reading(ending="whole")


def read_array(body: bytes) -> Reading:
    """Read Gemini's stream in the form of one JSON array."""
    try:
        values = json.loads(body)
    except ValueError as error:
        return Reading(ending="cut", faults=[f"not a JSON array: {error}: {body[-80:]!r}"])
    if isinstance(values, dict):
        return read_whole(body)
    return _gemini([Frame(event=None, data=value) for value in values])


def read_stream(dialect: str, body: bytes) -> Reading:
    """Read a stream of server-sent events in a dialect."""
    frames, faults = split(body)
    reading = _READERS[dialect](frames)
    reading.faults[:0] = faults
    return reading


def split(body: bytes) -> tuple[list[Frame], list[str]]:
    """Return the frames of a stream, and what is wrong with its framing."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], [f"not UTF-8: {error}"]
    faults = [] if not text or text.endswith("\n\n") else [f"a half frame at the end: {text[-60:]}"]
    frames = []
    for block in text.split("\n\n"):
        event, parts = None, []
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                parts.append(value)
            elif name == "event":
                event = value
            elif name not in ("", "id", "retry"):
                faults.append(f"not a line of an event stream: {line[:80]}")
        if parts:
            frames.append(_frame(event, "\n".join(parts), faults))
    return frames, faults


def _frame(event: str | None, data: str, faults: list[str]) -> Frame:
    if data == "[DONE]":
        return Frame(event=event, data=data)
    try:
        return Frame(event=event, data=json.loads(data))
    except ValueError:
        faults.append(f"not JSON: {data[:80]}")
        return Frame(event=event, data={})


def _chat(frames: Sequence[Frame]) -> Reading:
    done = [index for index, frame in enumerate(frames) if frame.data == "[DONE]"]
    faults = ["something follows [DONE]"] if done and done[0] != len(frames) - 1 else []
    objects = [frame.data for frame in frames if frame.data != "[DONE]"]
    errors = [one["error"] for one in objects if one.get("error")]
    faults += [f"no choices: {one}" for one in objects if not _is_chunk(one)][:3]
    if errors:
        faults += ["[DONE] after an error"] if done else []
        return Reading(ending="error", faults=faults, error=errors[0])
    finished = any(choice.get("finish_reason") for one in objects for choice in one["choices"])
    return Reading(ending="whole" if done and finished else "cut", faults=faults)


def _is_chunk(one: Json) -> bool:
    return "error" in one or isinstance(one.get("choices"), list)


def _responses(frames: Sequence[Frame]) -> Reading:
    objects = [frame.data for frame in frames if frame.data != "[DONE]"]
    faults = _misnamed(frames)
    numbers = [one.get("sequence_number") for one in objects]
    if numbers != list(range(len(numbers))):
        faults.append(f"sequence numbers are {numbers[:20]}")
    last = objects[-1]["type"] if objects and "type" in objects[-1] else ""
    if last in ("response.failed", "error"):
        error = objects[-1].get("response", objects[-1]).get("error")
        return Reading(ending="error", faults=faults, error=error)
    whole = last in ("response.completed", "response.incomplete")
    return Reading(ending="whole" if whole else "cut", faults=faults)


def _messages(frames: Sequence[Frame]) -> Reading:
    kinds = [frame.data.get("type") for frame in frames]
    faults = _misnamed(frames)
    if kinds and kinds[0] not in ("message_start", "error"):
        faults.append(f"it begins with {kinds[0]}")
    faults += _open_blocks(frames)
    if "error" in kinds:
        if kinds[-1] != "error":
            faults.append("something follows the error")
        return Reading(
            ending="error", faults=faults, error=frames[kinds.index("error")].data.get("error")
        )
    return Reading(ending="whole" if kinds[-1:] == ["message_stop"] else "cut", faults=faults)


def _open_blocks(frames: Sequence[Frame]) -> list[str]:
    """Return what is wrong with the order of content blocks."""
    faults, current = [], None
    for frame in frames:
        kind, index = frame.data.get("type"), frame.data.get("index")
        if kind == "content_block_start":
            if current is not None:
                faults.append(f"block {index} begins inside block {current}")
            current = index
        elif kind in ("content_block_delta", "content_block_stop"):
            if index != current:
                faults.append(f"{kind} of block {index} inside block {current}")
            current = None if kind == "content_block_stop" else current
    return faults


def _misnamed(frames: Sequence[Frame]) -> list[str]:
    return [
        f"event {frame.event} carries {frame.data.get('type')}"
        for frame in frames
        if frame.data != "[DONE]" and frame.event != frame.data.get("type")
    ][:3]


def _gemini(frames: Sequence[Frame]) -> Reading:
    objects = [frame.data for frame in frames]
    errors = [one["error"] for one in objects if one.get("error")]
    known = ("candidates", "usageMetadata", "promptFeedback", "error")
    faults = [f"nothing in it: {one}" for one in objects if not any(n in one for n in known)][:3]
    if errors:
        if not objects[-1].get("error"):
            faults.append("something follows the error")
        return Reading(ending="error", faults=faults, error=errors[0])
    finished = any(_has_finished(one) for one in objects)
    return Reading(ending="whole" if finished else "cut", faults=faults)


def _has_finished(one: Json) -> bool:
    blocked = (one.get("promptFeedback") or {}).get("blockReason")
    return bool(blocked) or any(c.get("finishReason") for c in one.get("candidates", ()))


_READERS: dict[str, Callable[[Sequence[Frame]], Reading]] = {
    "chat": _chat,
    "completions": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
}
