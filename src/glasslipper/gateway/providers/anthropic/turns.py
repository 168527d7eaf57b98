"""The turns of a request as Anthropic wants them: users and assistants by turns, made of blocks.

Instructions go to the top, results of tools into the user's turn, and neighbours of one role into
one turn. Thinking is shown only to those whose it is. Empty texts are left out: they are refused.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Sequence
from typing import cast
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from glasslipper.gateway.dialects.messages.kinds import (
    DIALECT,
    FORMAT,
    Cache,
    MessagesCall,
    MessagesFile,
    MessagesImage,
    MessagesRequest,
    MessagesResult,
    MessagesText,
    MessagesTurn,
)
from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import (
    AsidePart,
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCall,
)

Json = dict[str, object]
Block = Json | Raw

_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<rest>[^,]*),(?P<data>.*)\Z", re.DOTALL)
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]")
_objects: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


class Turns(Struct):
    """What goes to the top, and the turns below it."""

    system: list[Block]
    messages: list[Json]


def turns_of(request: Request) -> Turns:
    """Return the turns that the messages of a request make.

    In a request of another dialect instructions go to the top wherever they stood; one of this
    dialect may hold them between turns.

    Raises:
        InvalidRequest: A call's arguments are no JSON object.
        Unsupported: A message holds what no block can express.
    """
    stays = isinstance(request, MessagesRequest)
    turns = Turns(system=[], messages=[])
    for message in request.messages:
        if message.role in ("system", "developer"):
            blocks = _all(message.parts)
            if stays and turns.messages:
                _append(turns.messages, "system", blocks)
            else:
                turns.system.extend(blocks)
        elif message.role == "assistant":
            _append(turns.messages, "assistant", _spoken(message))
        elif message.role == "tool":
            _append(turns.messages, "user", [_result(message)])
        else:
            _append(turns.messages, "user", _all(message.parts))
    return turns


def marked(block: Json, cache: Cache) -> Json:
    """Return a block with the mark that a prefix worth caching ends with it."""
    if cache == "1h":
        return {**block, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    return {**block, "cache_control": {"type": "ephemeral"}} if cache else block


def _append(messages: list[Json], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        cast("list[Block]", messages[-1]["content"]).extend(blocks)
    else:
        messages.append({"role": role, "content": blocks})


def _all(parts: Iterable[Part]) -> list[Block]:
    return [block for part in parts for block in _blocks(part)]


def _spoken(message: Message) -> list[Block]:
    if not isinstance(message, MessagesTurn):
        return [*_all(message.parts), *map(_call, message.tool_calls)]
    blocks: list[Block] = []
    said = 0
    for call, before in zip(message.tool_calls, message.parts_before, strict=True):
        blocks += [*_all(message.parts[said:before]), _call(call)]
        said = before
    return [*blocks, *_all(message.parts[said:])]


def _blocks(part: Part) -> Sequence[Block]:
    match part:
        case AsidePart():
            return _aside(part)
        case TextPart():
            return (_text(part),) if part.text else ()
        case ImagePart():
            return (_image(part),)
        case FilePart():
            return (_document(part),)
        case ReasoningPart():
            return _thought(part)
        case RefusalPart():
            return ({"type": "text", "text": part.text},) if part.text else ()
        case AudioPart():
            raise Unsupported("Anthropic's models do not listen to sound.", param="$.messages")


def _aside(part: AsidePart) -> Sequence[Block]:
    if part.dialect == DIALECT:
        return (part.raw,)
    return ({"type": "text", "text": part.text},) if part.text else ()


def _text(part: TextPart) -> Json:
    block: Json = {"type": "text", "text": part.text}
    if isinstance(part, MessagesText):
        block |= part.more
    return marked(block, part.cache)


def _thought(part: ReasoningPart) -> Sequence[Json]:
    if part.format != FORMAT:
        return ()
    if part.signature is not None:
        return ({"type": "thinking", "thinking": part.text, "signature": part.signature},)
    if part.encrypted is not None:
        return ({"type": "redacted_thinking", "data": part.encrypted},)
    return ()


def _image(part: ImagePart) -> Json:
    inline = _DATA_URL.match(part.url)
    if inline is None:
        source: Json = {"type": "url", "url": part.url}
    else:
        source = _base64(inline)
    block: Json = {"type": "image", "source": source}
    if isinstance(part, MessagesImage):
        return marked({**block, **part.more}, part.cache)
    return block


def _document(part: FilePart) -> Json:
    block: Json = {"type": "document", "source": _document_source(part)}
    if part.filename:
        block["title"] = part.filename
    if isinstance(part, MessagesFile):
        return marked({**block, **part.more}, part.cache)
    return block


def _document_source(part: FilePart) -> Json:
    if part.url is None:
        if part.file_id is None:
            raise InvalidRequest("A file has neither data nor an id.", param="$.messages")
        return {"type": "file", "file_id": part.file_id}
    inline = _DATA_URL.match(part.url)
    if inline is None:
        return {"type": "url", "url": part.url}
    if not inline["type"].startswith("text/"):
        return _base64(inline)
    return {"type": "text", "media_type": "text/plain", "data": _plain(inline)}


def _base64(inline: re.Match[str]) -> Json:
    if not inline["rest"].endswith(";base64"):
        raise Unsupported("A `data:` URL must be in base64.", param="$.messages")
    return {"type": "base64", "media_type": inline["type"], "data": inline["data"]}


def _plain(inline: re.Match[str]) -> str:
    if not inline["rest"].endswith(";base64"):
        return unquote(inline["data"])
    try:
        return b64decode(inline["data"], validate=True).decode("utf-8")
    except ValueError:
        raise InvalidRequest(
            "A text document is not UTF-8 in base64.", param="$.messages"
        ) from None


def _call(call: ToolCall) -> Json:
    block: Json = {
        "type": "tool_use",
        "id": _id(call.id),
        "name": call.name,
        "input": _arguments(call),
    }
    if isinstance(call, MessagesCall):
        return marked({**block, **call.more}, call.cache)
    return block


def _arguments(call: ToolCall) -> Raw:
    text = call.arguments.strip() or "{}"
    try:
        _objects.decode(text)
        return Raw(text.encode("utf-8"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidRequest(
            f"The arguments of the tool call {call.id!r} are not a JSON object.",
            param="$.messages",
        ) from None


def _result(message: Message) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": _id(message.tool_call_id or "")}
    content = _all(message.parts)
    if content:
        block["content"] = content
    if isinstance(message, MessagesResult):
        if message.is_error is not None:
            block["is_error"] = message.is_error
        return marked({**block, **message.more}, message.cache)
    return block


def _id(text: str) -> str:
    """Return an id in the letters that Anthropic allows; the same one for the same text."""
    return _NOT_IN_ID.sub("_", text)
