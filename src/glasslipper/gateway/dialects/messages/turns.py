"""The turns of a Messages request: from wire blocks to the kernel's messages.

A user's turn becomes one tool message for each tool result in it, and a user message for what
stands between them. Each role may carry only the blocks that belong to it; blocks that are
Anthropic's own stay what they are, in the place where they stood.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from msgspec import Raw

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.messages import wire
from glasslipper.gateway.dialects.messages.blocks import block_of, need_of
from glasslipper.gateway.dialects.messages.kinds import (
    Cache,
    MessagesCall,
    MessagesFile,
    MessagesImage,
    MessagesResult,
    MessagesText,
    MessagesTurn,
    More,
)
from glasslipper.gateway.dialects.messages.thinking import of_redacted, of_thinking
from glasslipper.kernel.errors import BadJSON
from glasslipper.kernel.messages import (
    AsidePart,
    FilePart,
    ImagePart,
    Message,
    Need,
    Part,
    TextPart,
    ToolCall,
)

_Spoken = wire.Text | wire.Image | wire.Document
Needs = list[Need]


def messages_of(
    system: str | Sequence[wire.Text] | None, turns: Sequence[wire.Turn], needs: Needs
) -> tuple[Message, ...]:
    """Return the messages that the system prompt and the turns of a request make.

    What only Anthropic can be told is added to `needs`.

    Raises:
        InvalidRequest: A turn lacks what its role needs or has what it may not have.
    """
    messages: list[Message] = []
    if system:
        words = (
            [TextPart(text=system)] if isinstance(system, str) else [_text(one) for one in system]
        )
        messages.append(Message(role="system", parts=tuple(words)))
    for index, turn in enumerate(turns):
        path = f"$.messages[{index}].content"
        if turn.role == "assistant":
            messages.append(_assistant(turn.content, path, needs))
            continue
        if turn.content == []:
            raise invalid(path, "must not be empty")
        if turn.role == "user":
            messages.extend(_user(turn.content, path, needs))
        else:
            messages.append(Message(role="system", parts=_instructions(turn.content, path)))
    return tuple(messages)


def marked(mark: wire.CacheControl | None) -> Cache:
    """Return how long what a mark ends shall be cached, if there is a mark."""
    return (mark.ttl or "5m") if mark else None


def told(**members: object) -> More:
    """Return the members that have a value."""
    return {name: value for name, value in members.items() if value is not None}


def _instructions(content: str | Sequence[Raw], path: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    parts: list[Part] = []
    for index, raw in enumerate(content):
        block = block_of(raw, f"{path}[{index}]")
        if not isinstance(block, wire.Text):
            raise invalid(f"{path}[{index}].type", "a system message holds only text")
        parts.append(_text(block))
    return tuple(parts)


def _user(content: str | Sequence[Raw], path: str, needs: Needs) -> list[Message]:
    if isinstance(content, str):
        return [Message(role="user", parts=(TextPart(text=content),))]
    messages: list[Message] = []
    parts: list[Part] = []
    for index, raw in enumerate(content):
        at = f"{path}[{index}]"
        match block := block_of(raw, at):
            case wire.ToolResult():
                if parts:
                    messages.append(Message(role="user", parts=tuple(parts)))
                    parts = []
                messages.append(_result(block, at, needs))
            case wire.Text() | wire.Image() | wire.Document() | AsidePart():
                parts.append(_part(block, at, needs))
            case _:
                raise invalid(f"{at}.type", "only an assistant message may have this block")
    if parts:
        messages.append(Message(role="user", parts=tuple(parts)))
    return messages


def _assistant(content: str | Sequence[Raw], path: str, needs: Needs) -> Message:
    if isinstance(content, str):
        return Message(role="assistant", parts=(TextPart(text=content),))
    parts: list[Part] = []
    calls: list[ToolCall] = []
    before: list[int] = []
    for index, raw in enumerate(content):
        at = f"{path}[{index}]"
        match block := block_of(raw, at):
            case wire.Text() | AsidePart():
                parts.append(_part(block, at, needs))
            case wire.Thinking():
                parts.append(of_thinking(block.thinking, block.signature))
            case wire.RedactedThinking():
                parts.append(of_redacted(block.data))
            case wire.ToolUse():
                calls.append(_call(block, at))
                before.append(len(parts))
            case _:
                raise invalid(f"{at}.type", "only a user message may have this block")
    if any(count < len(parts) for count in before):
        return MessagesTurn(
            role="assistant",
            parts=tuple(parts),
            tool_calls=tuple(calls),
            parts_before=tuple(before),
        )
    return Message(role="assistant", parts=tuple(parts), tool_calls=tuple(calls))


def _call(block: wire.ToolUse, path: str) -> ToolCall:
    arguments = _object(block.input, f"{path}.input")
    caller = block.caller
    if caller is not None and caller.get("type") == "direct":
        caller = None
    more = told(caller=caller, toolset_name=block.toolset_name)
    cache = marked(block.cache_control)
    if cache or more:
        return MessagesCall(
            id=block.id, name=block.name, arguments=arguments, cache=cache, more=more
        )
    return ToolCall(id=block.id, name=block.name, arguments=arguments)


def _object(raw: Raw, path: str) -> str:
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise BadJSON(f"The body is not UTF-8 in `{path}`: {error.reason}.") from None
    if not text.startswith("{"):
        raise invalid(path, "expected `object`")
    return text


def _result(block: wire.ToolResult, path: str, needs: Needs) -> Message:
    parts = () if block.content is None else _parts(block.content, f"{path}.content", needs)
    more = told(toolset_name=block.toolset_name)
    cache = marked(block.cache_control)
    if cache or more or block.is_error is not None:
        return MessagesResult(
            role="tool",
            parts=parts,
            tool_call_id=block.tool_use_id,
            is_error=block.is_error,
            cache=cache,
            more=more,
        )
    return Message(role="tool", parts=parts, tool_call_id=block.tool_use_id)


def _parts(content: str | Sequence[Raw], path: str, needs: Needs) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(text=content),)
    parts: list[Part] = []
    for index, raw in enumerate(content):
        at = f"{path}[{index}]"
        block = block_of(raw, at)
        if not isinstance(block, _Spoken | AsidePart):
            raise invalid(f"{at}.type", "a result cannot hold this block")
        parts.append(_part(block, at, needs))
    return tuple(parts)


def _part(block: _Spoken | AsidePart, path: str, needs: Needs) -> Part:
    match block:
        case AsidePart():
            if (need := need_of(block, path)) is not None:
                needs.append(need)
            return block
        case wire.Text():
            return _text(block)
        case wire.Image():
            return _image(block)
        case wire.Document():
            return _document(block)


def _text(block: wire.Text) -> TextPart:
    cache = marked(block.cache_control)
    if block.citations:
        return MessagesText(text=block.text, cache=cache, more={"citations": block.citations})
    return TextPart(text=block.text, cache=cache)


def _image(block: wire.Image) -> ImagePart:
    source = block.source
    url = source.url if isinstance(source, wire.Address) else _data_url(source)
    cache, more = marked(block.cache_control), told(transformations=block.transformations)
    if cache or more:
        return MessagesImage(url=url, cache=cache, more=more)
    return ImagePart(url=url)


def _document(block: wire.Document) -> FilePart:
    url, file_id = None, None
    match block.source:
        case wire.FileId(file_id=file_id):
            pass
        case wire.Address(url=url):
            pass
        case wire.Base64() as source:
            url = _data_url(source)
        case wire.Plain(data=text):
            data = b64encode(text.encode("utf-8")).decode("ascii")
            url = f"data:text/plain;base64,{data}"
    cache = marked(block.cache_control)
    more = told(context=block.context, citations=block.citations)
    if cache or more:
        return MessagesFile(url=url, file_id=file_id, filename=block.title, cache=cache, more=more)
    return FilePart(url=url, file_id=file_id, filename=block.title)


def _data_url(source: wire.Base64) -> str:
    return f"data:{source.media_type};base64,{source.data}"
