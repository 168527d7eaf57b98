"""The turns of a Gemini request: from contents to the kernel's messages.

Gemini knows two roles, and results of functions are the user's. Each result becomes a message of
its own, ahead of what else the user says there, as other models want it. Calls without an id get
one; results without an id answer the oldest open call of their name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.gemini import wire
from glasslipper.gateway.dialects.gemini.bytes import require_base64
from glasslipper.gateway.dialects.gemini.signature import read_signature
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
    TextPart,
    ToolCall,
)

DIALECT = "gemini"
"""The name of this dialect."""

_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])
_text: Decoder[str] = Decoder(str)


def needs_of(contents: Sequence[wire.Content], *, path: str) -> Need | None:
    """Return why only Google may be told the contents at a JSON path.

    What came of code that Google ran stands in the answer that followed; a video that is to be
    looked at in a certain way is not to be had elsewhere.
    """
    for index, content in enumerate(contents):
        for at, part in enumerate(parts_of(content, f"{path}[{index}]")):
            if part.video_metadata is not None:
                where = f"{path}[{index}].parts[{at}].videoMetadata"
                return Need(dialect=DIALECT, path=where, what="videoMetadata")
    return None


def messages_of(
    system: wire.SystemContent | None, contents: Sequence[wire.Content], *, path: str
) -> tuple[Message, ...]:
    """Return the messages that a system instruction and the contents at a JSON path make.

    Raises:
        InvalidRequest: A content lacks what its role needs or has what it may not have.
        Unsupported: A part is of a kind that no message can express.
    """
    messages: list[Message] = []
    if system is not None and system.parts:
        messages.append(Message(role="system", parts=_system(system)))
    calls = _Calls()
    turn: _Turn | None = None
    for index, content in enumerate(contents):
        here = f"{path}[{index}]"
        if content.role == "model":
            turn = turn or _Turn(calls)
            turn.add(content, here)
            continue
        if turn is not None:
            messages.append(turn.message())
            turn = None
        messages.extend(_user(content, here, calls))
    if turn is not None:
        messages.append(turn.message())
    return tuple(messages)


class _Calls:
    """The calls so far, and which of them have no result yet."""

    def __init__(self) -> None:
        self._made = 0
        self._open: set[str] = set()
        self._ids: dict[str, deque[str]] = {}

    def made(self, call: wire.FunctionCall, path: str) -> ToolCall:
        call_id = call.id or f"call_{self._made}"
        self._made += 1
        self._open.add(call_id)
        self._ids.setdefault(call.name, deque()).append(call_id)
        return ToolCall(id=call_id, name=call.name, arguments=_object(call.args, f"{path}.args"))

    def answered(self, result: wire.FunctionResponse, path: str) -> str:
        """Return the id of the call that a result answers."""
        if result.id in self._open:
            self._open.remove(result.id)
            return result.id
        ids = self._ids.get(result.name, deque())
        while ids:
            call_id = ids.popleft()
            if call_id in self._open:
                self._open.remove(call_id)
                return call_id
        if result.id:
            return result.id
        raise invalid(f"{path}.name", "no function of this name was called before")


class _Said:
    """What a model said, in order. What streams cut apart is one again."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._pieces: list[str] = []
        self._is_thought = False

    def add(self, part: Part) -> None:
        self._close()
        self._parts.append(part)

    def speak(self, text: str) -> None:
        if self._is_thought:
            self._close()
        self._pieces.append(text)

    def think(self, text: str) -> None:
        if not self._is_thought:
            self._close()
        self._is_thought = True
        self._pieces.append(text)

    def sign(self, signature: str, path: str) -> None:
        """End the thought under way with its signature."""
        thought = "".join(self._pieces)
        self._pieces.clear()
        self.add(read_signature(signature, path, thought=thought))

    def parts(self) -> tuple[Part, ...]:
        self._close()
        return tuple(self._parts)

    def _close(self) -> None:
        text = "".join(self._pieces)
        if text:
            part = ReasoningPart(text=text) if self._is_thought else TextPart(text=text)
            self._parts.append(part)
        self._pieces.clear()
        self._is_thought = False


def parts_of(content: wire.Content | wire.SystemContent, path: str) -> list[wire.Part]:
    """Return the parts of a content, each with one thing in it.

    Raises:
        InvalidRequest: A part is empty, or several things at once.
    """
    given = content.parts or []
    parts = [given] if isinstance(given, wire.Part) else given
    for index, part in enumerate(parts):
        _check(part, f"{path}.parts[{index}]")
    return parts


def _check(part: wire.Part, path: str) -> None:
    if _is_own(part):
        return
    found = [name for name in wire.DATA if getattr(part, name) is not None]
    if len(found) > 1:
        raise invalid(f"{path}.{wire.member(found[1])}", "a part holds one thing only")
    if not found and part.thought_signature is None and not part.thought:
        raise invalid(path, "is empty")


def _is_own(part: wire.Part) -> bool:
    """Tell whether a part is of a kind that only Google has."""
    return any(getattr(part, name) is not None for name in wire.OWN_PARTS)


def _as_it_stands(part: wire.Part) -> AsidePart:
    told = {
        wire.member(name): value
        for name in wire.Part.__struct_fields__
        if (value := getattr(part, name)) is not None
    }
    return AsidePart(text=part.text or "", dialect=DIALECT, raw=Raw(msgspec.json.encode(told)))


def _system(content: wire.SystemContent) -> tuple[Part, ...]:
    path = "$.systemInstruction"
    parts = parts_of(content, path)
    for index, part in enumerate(parts):
        if part.text is None:
            where = f"{path}.parts[{index}]"
            raise Unsupported(f"`{where}`: a system speaks in text only.", param=where)
    return tuple(TextPart(text=part.text or "") for part in parts)


class _Turn:
    """What a model says before it is answered; clients send the pieces of a stream one by one."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._said = _Said()
        self._made: list[ToolCall] = []

    def add(self, content: wire.Content, path: str) -> None:
        for index, part in enumerate(parts_of(content, path)):
            here = f"{path}.parts[{index}]"
            if part.function_response is not None:
                raise invalid(f"{here}.functionResponse", "only the user gives results")
            if part.function_call is not None:
                call = self._calls.made(part.function_call, f"{here}.functionCall")
                self._made.append(call)
                self._sign(part, here, call_id=call.id)
            else:
                self._say(part, here)
                self._sign(part, here, call_id=None)

    def message(self) -> Message:
        return Message(role="assistant", parts=self._said.parts(), tool_calls=tuple(self._made))

    def _say(self, part: wire.Part, path: str) -> None:
        if _is_own(part):
            self._said.add(_as_it_stands(part))
        elif part.thought:
            self._said.think(part.text or "")
        elif part.text is not None:
            self._said.speak(part.text)
        else:
            for medium in _media(part, path):
                self._said.add(medium)

    def _sign(self, part: wire.Part, path: str, *, call_id: str | None) -> None:
        signature, sign = part.thought_signature, f"{path}.thoughtSignature"
        if signature is None or _is_own(part):
            return
        if part.thought and call_id is None:
            self._said.sign(signature, sign)
        else:
            self._said.add(read_signature(signature, sign, call_id=call_id))


def _user(content: wire.Content, path: str, calls: _Calls) -> list[Message]:
    results: list[Message] = []
    said: list[Part] = []
    parts = parts_of(content, path)
    if not parts:
        raise invalid(f"{path}.parts", "is required")
    for index, part in enumerate(parts):
        here = f"{path}.parts[{index}]"
        if part.function_call is not None or part.thought:
            raise invalid(here, "only the model calls functions and thinks")
        if _is_own(part):
            said.append(_as_it_stands(part))
        elif part.function_response is not None:
            results.append(_result(part.function_response, f"{here}.functionResponse", calls))
        elif part.text is not None:
            said.append(TextPart(text=part.text))
        else:
            said.extend(_media(part, here))
    if said:
        results.append(Message(role="user", parts=tuple(said)))
    return results


def _result(result: wire.FunctionResponse, path: str, calls: _Calls) -> Message:
    if result.will_continue:
        where = f"{path}.willContinue"
        raise Unsupported(f"`{where}`: a result comes whole.", param=where)
    parts: list[Part] = [TextPart(text=_words(result, f"{path}.response"))]
    for index, part in enumerate(result.parts or ()):
        parts.extend(_media(part, f"{path}.parts[{index}]"))
    call_id = calls.answered(result, path)
    return Message(role="tool", parts=tuple(parts), tool_call_id=call_id, name=result.name)


def _words(result: wire.FunctionResponse, path: str) -> str:
    """Return a result as text: that of a lone `output`, or else the whole object as JSON."""
    whole = _object(result.response, path)
    members = _members.decode(whole)
    if list(members) == ["output"] and bytes(members["output"]).startswith(b'"'):
        text = _text.decode(members["output"])
        if not _is_object(text):
            return text
    return whole


def _is_object(text: str) -> bool:
    try:
        _members.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _object(raw: Raw, path: str) -> str:
    json = bytes(raw)
    if json in (b"", b"null"):
        return "{}"
    if not json.startswith(b"{"):
        raise invalid(path, "expected `object`")
    return json.decode()


def _media(part: wire.Part | wire.ResponsePart, path: str) -> list[Part]:
    if part.inline_data is not None:
        return [_inline(part.inline_data, f"{path}.inlineData")]
    if part.file_data is not None:
        return [_file(part.file_data)]
    return []


def _inline(blob: wire.Blob, path: str) -> Part:
    data = require_base64(blob.data, f"{path}.data")
    kind, _, form = blob.mime_type.partition("/")
    if kind == "audio" and form:
        return AudioPart(data=data, format=form)
    url = f"data:{blob.mime_type};base64,{data}"
    if kind == "image":
        return ImagePart(url=url)
    return FilePart(url=url, filename=blob.display_name)


def _file(file: wire.FileData) -> Part:
    if (file.mime_type or "").startswith("image/"):
        return ImagePart(url=file.file_uri)
    return FilePart(url=file.file_uri, filename=file.display_name)
