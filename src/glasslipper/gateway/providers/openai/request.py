"""The body of a chat request as a provider wants it: the kernel's `Request` in OpenAI's format.

Members that no dialect understood are passed on as they came, and OpenRouter's own only to those
who take them. Routing is this gateway's work and is passed to nobody, with one exception: what
the client's `provider` object says about any provider, such as how it keeps data and what it may
cost, is said to OpenRouter again, since it chooses once more; which providers are to serve, and
in which order, names ours and is not. A hint that a provider does not know, such as a cache
mark, is left out; anything else that cannot be said is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from glasslipper.gateway.dialects.chat.kinds import DIALECT, AnnotatedMessage
from glasslipper.gateway.dialects.chat.thoughts import details_of
from glasslipper.gateway.providers.openai.reasoning import reasoning_members
from glasslipper.gateway.providers.table import Provider
from glasslipper.kernel.errors import InvalidRequest
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
    ResponseFormat,
    Sampling,
    TextPart,
    Tool,
    ToolChoice,
)

Json = dict[str, object]
Spoken = TextPart | ImagePart | AudioPart | FilePart | RefusalPart

ROUTING_MEMBERS = frozenset({"models", "provider", "route"})
"""Members that are for this gateway."""

NAMING_WISHES = frozenset({"allow_fallbacks", "only", "order"})
"""Members of the `provider` object that are about this gateway's providers."""

OPENROUTER_MEMBERS = frozenset(
    {
        "cache_control",
        "debug",
        "plugins",
        "preset",
        "session_id",
        "stop_server_tools_when",
        "trace",
        "transforms",
        "usage",
    }
)
"""Members that only OpenRouter, or a gateway like it, understands."""

_ANY_TOOL = ToolChoice()
_encoder = msgspec.json.Encoder()
_wishes = msgspec.json.Decoder(dict[str, Raw])


_OTHERS = ("messages", "gemini")
"""Dialects whose members nobody who speaks OpenAI's would understand."""


def encode_request(request: Request, *, provider: Provider, upstream_model: str) -> bytes:
    """Return the JSON body that asks a provider for what the request asks.

    Raises:
        InvalidRequest: The request holds what JSON or the format cannot carry.
    """
    body: Json = {
        "model": upstream_model,
        "messages": [_message(message, provider) for message in request.messages],
        **_sampling(request.sampling, provider),
        **_tools(request),
        **reasoning_members(request.reasoning, provider),
        **_labels(request, provider),
        **_extra(_understood(request), provider),
    }
    if request.response_format.kind != "text":
        body["response_format"] = _response_format(request.response_format)
    if request.stream:
        body["stream"] = True
        if provider.takes_stream_options:
            body["stream_options"] = {"include_usage": True}
    return write_json(body)


def write_json(body: Json) -> bytes:
    """Return a body as JSON.

    Raises:
        InvalidRequest: It is nested too deeply, or holds half of a surrogate pair.
    """
    try:
        return _encoder.encode(body)
    except (RecursionError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None


def _labels(request: Request, provider: Provider) -> Json:
    body: Json = {}
    if request.user is not None:
        body["user"] = request.user
    if request.metadata:
        body["metadata"] = request.metadata
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.session_id is not None and provider.speaks_openrouter:
        body["session_id"] = request.session_id
    return body


def _understood(request: Request) -> Mapping[str, Raw]:
    """Return the extra members that mean something here: those of a dialect of OpenAI's."""
    if request.heard_as in _OTHERS:
        return {name: raw for name, raw in request.extra.items() if name == "provider"}
    return request.extra


def _extra(extra: Mapping[str, Raw], provider: Provider) -> Json:
    if not extra:
        return {}
    body: Json = {name: raw for name, raw in extra.items() if name not in ROUTING_MEMBERS}
    if not provider.speaks_openrouter:
        return {name: raw for name, raw in body.items() if name not in OPENROUTER_MEMBERS}
    if "provider" in extra:
        wishes = _wishes.decode(extra["provider"])
        told = {name: raw for name, raw in wishes.items() if name not in NAMING_WISHES}
        if told:
            body["provider"] = told
    return body


def _sampling(sampling: Sampling, provider: Provider) -> Json:
    body: Json = {
        provider.max_tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        provider.seed_field: sampling.seed,
        "stop": sampling.stop or None,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs,
    }
    return {name: value for name, value in body.items() if value is not None}


def _tools(request: Request) -> Json:
    body: Json = {}
    tools: list[Json | Raw] = [tool_object(tool) for tool in request.tools]
    for tool in reversed(request.hosted):
        tools.insert(tool.place, tool.raw)
    if tools:
        body["tools"] = tools
    if request.tool_choice != _ANY_TOOL:
        body["tool_choice"] = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def tool_object(tool: Tool) -> Json:
    """Return a function that may be called in OpenAI's shape."""
    function: Json = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> str | Json:
    if choice.name is None:
        return choice.mode
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(wanted: ResponseFormat) -> Json:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: Json = {"name": wanted.name or "answer"}
    if wanted.description is not None:
        schema["description"] = wanted.description
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _message(message: Message, provider: Provider) -> Json:
    is_plain = message.role != "developer" or provider.knows_developer
    said = [
        part for part in message.parts if not isinstance(part, ReasoningPart) and not _is_mute(part)
    ]
    body: Json = {
        "role": message.role if is_plain else "system",
        "content": _content(said, provider, is_optional=message.role == "assistant"),
    }
    if isinstance(message, AnnotatedMessage) and provider.speaks_openrouter:
        body["annotations"] = message.annotations
    if message.name is not None:
        body["name"] = message.name
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if len(said) == len(message.parts):
        return body
    thoughts = [part for part in message.parts if isinstance(part, ReasoningPart)]
    return body | _thinking(thoughts, provider)


def _is_mute(part: Part) -> bool:
    """Tell whether a part says nothing to anybody but one dialect."""
    return isinstance(part, AsidePart) and part.dialect != DIALECT and not part.text


def _arguments(text: str) -> str:
    """Return arguments as JSON: an empty text, which some take for none, is an empty object."""
    return text if text.strip() else "{}"


def _content(
    parts: Sequence[Spoken], provider: Provider, *, is_optional: bool
) -> str | list[Json | Raw] | None:
    """Return text where text says it all, for servers that know nothing else."""
    if not parts and is_optional:
        return None
    marks = provider.speaks_openrouter
    if len(parts) == 1:
        part = parts[0]
        is_aside = isinstance(part, AsidePart) and part.dialect == DIALECT
        if isinstance(part, TextPart) and not is_aside and not (marks and part.cache):
            return part.text
    return [_part(part, marks=marks) for part in parts]


def _part(part: Spoken, *, marks: bool) -> Json | Raw:
    match part:
        case AsidePart(dialect="chat"):
            return part.raw
        case TextPart():
            body: Json = {"type": "text", "text": part.text}
            if marks and part.cache:
                body["cache_control"] = {"type": "ephemeral", "ttl": part.cache}
            return body
        case ImagePart():
            image = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
            return {"type": "image_url", "image_url": image}
        case AudioPart():
            return {
                "type": "input_audio",
                "input_audio": {"data": part.data, "format": part.format},
            }
        case FilePart():
            file = {"file_data": part.url, "file_id": part.file_id, "filename": part.filename}
            return {"type": "file", "file": {name: value for name, value in file.items() if value}}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}


def _thinking(thoughts: Sequence[ReasoningPart], provider: Provider) -> Json:
    if not thoughts or provider.thinking is None:
        return {}
    if provider.thinking == "content":
        return {"reasoning_content": "".join(thought.text for thought in thoughts)}
    details = (details_of(thought, index) for index, thought in enumerate(thoughts))
    return {"reasoning_details": [detail for some in details for detail in some]}
