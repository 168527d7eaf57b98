"""The kernel's messages as Gemini's contents: two roles, taking turns.

All that the system and the developer say becomes the system instruction. Results of functions are
the user's, and carry the names of the calls that they answer. Of earlier thinking only Google's
own goes back, with its signatures where they were: on thoughts, words or calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw, Struct, field
from msgspec.json import Decoder

from glasslipper.gateway.providers.gemini.media import Json, media_part
from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import (
    AsidePart,
    Message,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)

FORMAT = "google-gemini-v1"
"""The format of thinking that Google signed."""

DIALECT = "gemini"
"""What this codec's own words are called."""

UNSIGNED = "skip_thought_signature_validator"
"""What Google wants instead of a signature on a call that another model made."""

_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])
_parts: Decoder[Json] = Decoder(Json)


class Conversation(Struct, frozen=True):
    """The system's words, and the turns of user and model."""

    system: list[Json] = field(default_factory=list[Json])
    contents: list[Json] = field(default_factory=list[Json])


def conversation(
    messages: Sequence[Message], *, base_url: str, wants_signatures: bool
) -> Conversation:
    """Return what the messages say.

    Raises:
        InvalidRequest: A result answers no call.
        Unsupported: A message holds what Gemini cannot be told.
    """
    return _Writer(base_url, wants_signatures=wants_signatures).write(messages)


class _Writer:
    def __init__(self, base_url: str, *, wants_signatures: bool) -> None:
        self._base_url = base_url
        self._wants_signatures = wants_signatures
        self._names: dict[str, str] = {}
        self._turns: list[tuple[str, list[Json]]] = []

    def write(self, messages: Sequence[Message]) -> Conversation:
        system: list[Json] = []
        for index, message in enumerate(messages):
            path = f"$.messages[{index}]"
            match message.role:
                case "system" | "developer":
                    system.extend(_system(message, path))
                case "user":
                    self._add("user", self._spoken(message))
                case "tool":
                    self._add("user", [self._result(message, path)])
                case "assistant":
                    self._names |= {call.id: call.name for call in message.tool_calls}
                    self._add("model", self._model(message))
        if not self._turns and system:
            self._add("user", system)
            system = []
        contents: list[Json] = [{"role": role, "parts": parts} for role, parts in self._turns]
        return Conversation(system, contents)

    def _add(self, role: str, parts: list[Json]) -> None:
        if self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(parts)
        elif parts:
            self._turns.append((role, list(parts)))

    def _spoken(self, message: Message) -> list[Json]:
        parts: list[Json] = []
        for part in message.parts:
            match part:
                case AsidePart():
                    parts.extend(_aside(part))
                case TextPart() | RefusalPart():
                    parts.append({"text": part.text})
                case ReasoningPart():
                    pass
                case _:
                    parts.append(media_part(part, base_url=self._base_url))
        return parts

    def _model(self, message: Message) -> list[Json]:
        on_calls: dict[str | None, str] = {}
        ids = {call.id for call in message.tool_calls}
        parts: list[Json] = []
        loose: list[str] = []  # signatures of words that are still to come
        for part in message.parts:
            match part:
                case AsidePart():
                    parts.extend(_aside(part))
                case TextPart() | RefusalPart():
                    if part.text:
                        said: Json = {"text": part.text}
                        parts.append(said | ({"thoughtSignature": loose.pop()} if loose else {}))
                case ReasoningPart(encrypted=str() as signature) if part.format == FORMAT:
                    if part.id in ids:
                        on_calls[part.id] = signature
                    elif not _sign_words(parts, signature):
                        parts.extend(_alone(loose))
                        loose = [signature]
                case ReasoningPart():
                    parts.extend(_thought(part))
                case _:
                    parts.append(media_part(part, base_url=self._base_url))
        parts.extend(_alone(loose))
        return parts + self._calls(message.tool_calls, on_calls)

    def _calls(self, calls: Sequence[ToolCall], signatures: dict[str | None, str]) -> list[Json]:
        parts: list[Json] = []
        for index, call in enumerate(calls):
            said = {"id": call.id, "name": call.name, "args": _arguments(call.arguments)}
            part: Json = {"functionCall": said}
            signature = signatures.get(call.id)
            if signature is None and index == 0 and self._wants_signatures:
                signature = UNSIGNED
            if signature is not None:
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _result(self, message: Message, path: str) -> Json:
        call_id = message.tool_call_id or ""
        name = self._names.get(call_id) or message.name
        if name is None:
            where = f"{path}.tool_call_id"
            raise InvalidRequest(f"`{where}`: no call has this id.", param=where)
        said: Json = {"id": call_id, "name": name, "response": _response(message.text)}
        media = [
            media_part(part, base_url=self._base_url)
            for part in message.parts
            if not isinstance(part, TextPart | RefusalPart | ReasoningPart)
        ]
        if media:
            said["parts"] = media
        return {"functionResponse": said}


def _system(message: Message, path: str) -> list[Json]:
    parts: list[Json] = []
    for index, part in enumerate(message.parts):
        if not isinstance(part, TextPart):
            where = f"{path}.content[{index}]"
            raise Unsupported(f"`{where}`: to Gemini a system speaks in text only.", param=where)
        parts.append({"text": part.text})
    return parts


def _aside(part: AsidePart) -> Sequence[Json]:
    """Return a part that stands as Google wrote it, or what can be read of another's."""
    if part.dialect == DIALECT:
        return (_parts.decode(part.raw),)
    return ({"text": part.text},) if part.text else ()


def _thought(part: ReasoningPart) -> list[Json]:
    if part.format != FORMAT:
        return []
    thought: Json = {"text": part.text, "thought": True}
    return [thought | ({"thoughtSignature": part.signature} if part.signature else {})]


def _sign_words(parts: list[Json], signature: str) -> bool:
    """Put a signature on the words just said, if there are any without one."""
    if not parts or set(parts[-1]) != {"text"}:
        return False
    parts[-1]["thoughtSignature"] = signature
    return True


def _alone(signatures: list[str]) -> list[Json]:
    return [{"text": "", "thoughtSignature": signature} for signature in signatures]


def _arguments(text: str) -> Raw | Json:
    """Return arguments as an object; what a model wrote that is none is told as it was."""
    if not text.strip():
        return {}
    known = _object(text)
    return {"_raw": text} if known is None else known


def _response(text: str) -> Raw | Json:
    known = _object(text)
    return {"output": text} if known is None else known


def _object(text: str) -> Raw | None:
    try:
        _members.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return Raw(text.encode())
