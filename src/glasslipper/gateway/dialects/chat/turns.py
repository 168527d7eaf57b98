"""The turns of a chat request: from wire messages to the kernel's.

Each role may carry only what belongs to it. The older `function` role and `function_call` in a
history are read as what replaced them: the tool role and a tool call with a made-up id.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.chat import wire
from glasslipper.gateway.dialects.chat.kinds import DIALECT, AnnotatedMessage
from glasslipper.gateway.dialects.chat.thoughts import (
    ENCRYPTED,
    SUMMARY,
    TEXT,
    Detail,
    parts_of,
)
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.messages import (
    AsidePart,
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Need,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)

_WirePart = (
    wire.Text | wire.Image | wire.Audio | wire.File | wire.Refusal | wire.Video | wire.SoundPlace
)


def messages_of(turns: Sequence[wire.Turn]) -> tuple[Message, ...]:
    """Return the messages that the turns of a request make.

    Raises:
        InvalidRequest: A turn lacks what its role needs or has what it may not have.
        Unsupported: A turn carries what no message can express.
    """
    functions: dict[str, str] = {}
    return tuple(
        _message(turn, f"$.messages[{index}]", functions=functions)
        for index, turn in enumerate(turns)
    )


def need_of(turns: Sequence[wire.Turn]) -> Need | None:
    """Return why only those who speak this dialect may be told the turns, if so it is."""
    for index, turn in enumerate(turns):
        if turn.content is None or isinstance(turn.content, str):
            continue
        for at, part in enumerate(turn.content):
            if isinstance(part, wire.Video | wire.SoundPlace):
                path = f"$.messages[{index}].content[{at}].type"
                what = "video_url" if isinstance(part, wire.Video) else "audio_url"
                return Need(dialect=DIALECT, path=path, what=what)
    return None


def _message(turn: wire.Turn, path: str, *, functions: dict[str, str]) -> Message:
    """Return one message; `functions` maps names to the made-up ids of their latest calls."""
    if turn.role == "assistant":
        return _assistant(turn, path, functions=functions)
    _refuse_what_only_an_assistant_has(turn, path)
    if turn.content is None or turn.content == []:
        raise invalid(f"{path}.content", "is required")
    parts = _content(turn.content, f"{path}.content")
    if turn.role == "tool":
        if not turn.tool_call_id:
            raise invalid(f"{path}.tool_call_id", "is required in a tool message")
        return Message(role="tool", parts=parts, tool_call_id=turn.tool_call_id, name=turn.name)
    if turn.role == "function":
        call_id = functions.get(turn.name or "")
        if call_id is None:
            raise invalid(f"{path}.name", "no function of this name was called before")
        return Message(role="tool", parts=parts, tool_call_id=call_id, name=turn.name)
    if turn.tool_call_id is not None:
        raise invalid(f"{path}.tool_call_id", "only a tool message may have it")
    return Message(role=turn.role, parts=parts, name=turn.name)


def _refuse_what_only_an_assistant_has(turn: wire.Turn, path: str) -> None:
    for member in ("tool_calls", "function_call", "audio", "refusal"):
        if getattr(turn, member):
            raise invalid(f"{path}.{member}", "only an assistant message may have it")


def _assistant(turn: wire.Turn, path: str, *, functions: dict[str, str]) -> Message:
    if turn.audio is not None:
        raise Unsupported(f"`{path}.audio`: spoken answers are not kept.", param=f"{path}.audio")
    parts: list[Part] = [*_reasoning(turn, path), *_content(turn.content, f"{path}.content")]
    if turn.refusal is not None:
        parts.append(RefusalPart(text=turn.refusal))
    calls = [
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in turn.tool_calls or ()
    ]
    if turn.function_call is not None:
        name = turn.function_call.name
        functions[name] = f"call_{len(functions)}_{name}"[:64]
        calls.append(
            ToolCall(id=functions[name], name=name, arguments=turn.function_call.arguments)
        )
    message = Message(role="assistant", parts=tuple(parts), tool_calls=tuple(calls), name=turn.name)
    if not turn.annotations:
        return message
    return AnnotatedMessage(
        role="assistant",
        parts=message.parts,
        tool_calls=message.tool_calls,
        name=turn.name,
        annotations=tuple(turn.annotations),
    )


def _reasoning(turn: wire.Turn, path: str) -> Sequence[Part]:
    if turn.reasoning_details:
        for index, detail in enumerate(turn.reasoning_details):
            _check_detail(detail, f"{path}.reasoning_details[{index}]")
        return parts_of(turn.reasoning_details)
    text = turn.reasoning or turn.reasoning_content
    return [ReasoningPart(text=text)] if text else []


def _check_detail(detail: Detail, path: str) -> None:
    if detail.type == ENCRYPTED:
        if detail.data is None:
            raise invalid(f"{path}.data", "is required")
    elif detail.type not in (TEXT, SUMMARY):
        raise invalid(f"{path}.type", f"must be `{TEXT}`, `{SUMMARY}` or `{ENCRYPTED}`")


def _content(content: wire.Content | None, path: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part(part, f"{path}[{index}]") for index, part in enumerate(content))


def _part(part: _WirePart, path: str) -> Part:
    match part:
        case wire.Text():
            mark = part.cache_control
            return TextPart(text=part.text, cache=(mark.ttl or "5m") if mark else None)
        case wire.Image(image_url=address):
            if isinstance(address, str):
                return ImagePart(url=address)
            return ImagePart(url=address.url, detail=address.detail)
        case wire.Audio(input_audio=sound):
            return AudioPart(data=sound.data, format=sound.format)
        case wire.Refusal():
            return RefusalPart(text=part.refusal)
        case wire.Video() | wire.SoundPlace():
            return AsidePart(text="", dialect=DIALECT, raw=Raw(msgspec.json.encode(part)))
        case wire.File(file=file):
            return _file(file, f"{path}.file")


def _file(file: wire.Document, path: str) -> FilePart:
    if file.file_data is None and file.file_id is None:
        raise invalid(path, "needs `file_data` or `file_id`")
    return FilePart(url=file.file_data, file_id=file.file_id, filename=file.filename)
