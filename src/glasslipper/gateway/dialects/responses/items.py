"""Input items of the Responses format, each as the fragment of a conversation that it is.

One item is one fragment: a whole message, a part of an assistant's thinking, one tool call. The
fragments that make up one turn of an assistant are joined at the end, when all are known, since
some come out of a store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, structs

from glasslipper.gateway.dialects.body import MAX_WORDS, invalid
from glasslipper.gateway.dialects.responses import wire
from glasslipper.gateway.dialects.responses.ids import response_of
from glasslipper.gateway.dialects.responses.seal import unseal
from glasslipper.gateway.dialects.responses.tools import call_of_text, flat_name
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.messages import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)

RUN_ELSEWHERE = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
"""Items that tell of tools which OpenAI ran itself: nobody else knows them, and what came of them
stands in the answer that followed."""


class Reference(Struct, frozen=True):
    """An item that the client names and does not send; `path` says where it names it."""

    id: str
    path: str


Fragment = Message | Reference


def fragments_of(given: str | Sequence[wire.Item], path: str) -> tuple[Fragment, ...]:
    """Return the fragments that an input is; a bare text is a user's message.

    Raises:
        InvalidRequest: An item lacks what its type needs.
        Unsupported: An item is of a type that cannot be expressed.
    """
    if isinstance(given, str):
        return (Message(role="user", parts=(TextPart(text=given),)),)
    return tuple(
        _fragment(item, f"{path}[{index}]")
        for index, item in enumerate(given)
        if item.type not in RUN_ELSEWHERE
    )


def join(fragments: Iterable[Message]) -> tuple[Message, ...]:
    """Return the messages that fragments make up, an assistant's pieces put together.

    Two texts of an assistant in a row stay two messages; a text between tool calls does not
    part them, since their results follow all of them.
    """
    joined: list[Message] = []
    for fragment in fragments:
        last = joined[-1] if joined else None
        if last is not None and _continues(last, fragment):
            joined[-1] = _together(last, fragment)
        else:
            joined.append(fragment)
    return tuple(joined)


def _continues(last: Message, fragment: Message) -> bool:
    if last.role != "assistant" or fragment.role != "assistant":
        return False
    has_spoken = any(not isinstance(part, ReasoningPart) for part in last.parts)
    return bool(last.tool_calls or fragment.tool_calls or not has_spoken)


def _together(last: Message, fragment: Message) -> Message:
    parts = (*last.parts, *fragment.parts)
    thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
    words = [part for part in parts if not isinstance(part, ReasoningPart)]
    return structs.replace(
        last, parts=(*thoughts, *words), tool_calls=(*last.tool_calls, *fragment.tool_calls)
    )


def _fragment(item: wire.Item, path: str) -> Fragment:
    kind = item.type or ("message" if item.role is not None else "item_reference")
    match kind:
        case "message":
            return _message(item, path)
        case "function_call":
            return _call(item, path)
        case "custom_tool_call":
            return _call_of_text(item, path)
        case "function_call_output" | "custom_tool_call_output":
            return _result(item, path)
        case "reasoning":
            return _reasoning(item, path)
        case "item_reference":
            return Reference(_needed(item.id, f"{path}.id"), f"{path}.id")
        case _:
            raise Unsupported(
                f"`{path}.type`: items of type `{kind[:40]}` are not supported.",
                param=f"{path}.type",
            )


def _needed(value: str | None, path: str) -> str:
    if not value:
        raise invalid(path, "is required")
    return value


def _message(item: wire.Item, path: str) -> Message:
    if item.role is None:
        raise invalid(f"{path}.role", "is required")
    if item.content is None or (item.content == [] and item.role != "assistant"):
        raise invalid(f"{path}.content", "is required")
    parts = _content(item.content, f"{path}.content") or (TextPart(text=""),)
    if item.role != "assistant":
        for index, part in enumerate(parts):
            if isinstance(part, RefusalPart):
                raise invalid(f"{path}.content[{index}]", "only an assistant refuses")
    return Message(role=item.role, parts=parts)


def _call(item: wire.Item, path: str) -> Message:
    call = ToolCall(
        id=_needed(item.call_id, f"{path}.call_id"),
        name=flat_name(_needed(item.name, f"{path}.name"), item.namespace),
        arguments=item.arguments or "",
    )
    return Message(role="assistant", tool_calls=(call,))


def _call_of_text(item: wire.Item, path: str) -> Message:
    if item.input is None:
        raise invalid(f"{path}.input", "is required")
    call = call_of_text(
        _needed(item.call_id, f"{path}.call_id"),
        flat_name(_needed(item.name, f"{path}.name"), item.namespace),
        item.input,
    )
    return Message(role="assistant", tool_calls=(call,))


def _result(item: wire.Item, path: str) -> Message:
    call_id = _needed(item.call_id, f"{path}.call_id")
    if item.output is None:
        raise invalid(f"{path}.output", "is required")
    parts = _content(item.output, f"{path}.output") or (TextPart(text=""),)
    return Message(role="tool", parts=parts, tool_call_id=call_id)


def _reasoning(item: wire.Item, path: str) -> Message:
    """Return the thinking of an item: as it was sealed, or as it can be read."""
    sealed = item.encrypted_content or None
    if sealed is not None:
        try:
            whole = unseal(sealed)
        except ValueError as error:
            raise invalid(f"{path}.encrypted_content", str(error)[:MAX_WORDS]) from None
        if whole is not None:
            return Message(role="assistant", parts=(whole,))
    summary = "\n\n".join(part.text for part in item.summary or ())
    text = _thinking(item.content, f"{path}.content")
    is_summary = bool(summary and not text)
    part = ReasoningPart(
        text=summary if is_summary else text,
        kind="summary" if is_summary else "text",
        encrypted=sealed,
        id=item.id if item.id and response_of(item.id) is None else None,
    )
    return Message(role="assistant", parts=(part,))


def _thinking(content: wire.Content | None, path: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for index, part in enumerate(content):
        if not isinstance(part, wire.ReasoningText | wire.PlainText):
            raise invalid(f"{path}[{index}].type", "is no part of a reasoning item")
    return "".join(
        part.text for part in content if isinstance(part, wire.ReasoningText | wire.PlainText)
    )


def _content(content: wire.Content, path: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part(part, f"{path}[{index}]") for index, part in enumerate(content))


def _part(part: wire.Part, path: str) -> Part:
    match part:
        case wire.InputText():
            mark = part.cache_control
            return TextPart(text=part.text, cache=(mark.ttl or "5m") if mark else None)
        case wire.OutputText() | wire.PlainText():
            return TextPart(text=part.text)
        case wire.Refusal():
            return RefusalPart(text=part.refusal)
        case wire.Image():
            return _image(part, path)
        case wire.File():
            return _file(part, path)
        case wire.Audio(input_audio=sound):
            return AudioPart(data=sound.data, format=sound.format)
        case wire.SummaryText() | wire.ReasoningText():
            raise invalid(f"{path}.type", "belongs into a reasoning item")


def _image(part: wire.Image, path: str) -> ImagePart:
    if part.image_url is not None:
        return ImagePart(url=part.image_url, detail=part.detail)
    if part.file_id is not None:
        raise Unsupported(
            f"`{path}.file_id`: pictures are taken by address only.",
            param=f"{path}.file_id",
            hint="Send the picture in `image_url`, as an address or a `data:` URL.",
        )
    raise invalid(f"{path}.image_url", "is required")


def _file(part: wire.File, path: str) -> FilePart:
    url = part.file_data or part.file_url
    if url is None and part.file_id is None:
        raise invalid(path, "needs `file_data`, `file_url` or `file_id`")
    return FilePart(url=url, file_id=part.file_id, filename=part.filename)
