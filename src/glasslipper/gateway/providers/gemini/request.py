"""The body of `generateContent` for what the kernel's `Request` asks.

Schemas go in Google's members for plain JSON Schema. A hint that Gemini does not know is left
out: cache marks, details of pictures, `min_p`, `repetition_penalty`, `logit_bias`, whether calls
may be parallel. Of the members that no dialect understood only Google's own are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.providers.gemini.models import (
    resource,
    thinking_config,
    wants_signatures,
)
from glasslipper.gateway.providers.gemini.turns import Json, conversation
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import Request, ResponseFormat, Sampling, Tool

_PASSED = ("cachedContent", "labels", "safetySettings")
_TIERS = frozenset({"flex", "priority", "standard"})
_SEEDS = 2**31

_encoder = msgspec.json.Encoder()
_members: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


def encode_request(request: Request, *, upstream_model: str, base_url: str) -> bytes:
    """Return the JSON body that asks Gemini for what the request asks.

    Raises:
        InvalidRequest: The request holds what JSON or the format cannot carry.
    """
    return write_json(_body(request, upstream_model, base_url))


def encode_count(request: Request, *, upstream_model: str, base_url: str) -> bytes:
    """Return the JSON body that asks how many tokens the prompt of the request has.

    Raises:
        InvalidRequest: The request holds what JSON or the format cannot carry.
    """
    body = _body(request, upstream_model, base_url)
    return write_json({"generateContentRequest": {"model": resource(upstream_model), **body}})


def _body(request: Request, upstream_model: str, base_url: str) -> Json:
    said = conversation(
        request.messages, base_url=base_url, wants_signatures=wants_signatures(upstream_model)
    )
    body: Json = {"contents": said.contents}
    if said.system:
        body["systemInstruction"] = {"parts": said.system}
    config = {
        **_sampling(request.sampling),
        **_format(request.response_format),
        **_own(request.extra, "generationConfig"),
    }
    thinking = thinking_config(request.reasoning, upstream_model)
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    tools: list[Json | Raw] = [tool.raw for tool in request.hosted]
    if request.tools:
        tools.insert(0, {"functionDeclarations": [_tool(tool) for tool in request.tools]})
    if tools:
        body["tools"] = tools
    calling = {**_calling(request), **_own(request.extra, "toolConfig")}
    if calling:
        body["toolConfig"] = calling
    if request.service_tier in _TIERS:
        body["serviceTier"] = request.service_tier
    return body | {name: request.extra[name] for name in _PASSED if name in request.extra}


def write_json(body: Json) -> bytes:
    """Return a body as JSON.

    Raises:
        InvalidRequest: It is nested too deeply, or holds half of a surrogate pair.
    """
    try:
        return _encoder.encode(body)
    except (RecursionError, UnicodeEncodeError) as error:
        raise InvalidRequest(f"The request cannot be written as JSON: {error}.") from None


def _own(extra: Mapping[str, Raw], name: str) -> Json:
    """Return the members of an object that are Google's own."""
    if name not in extra:
        return {}
    try:
        return dict(_members.decode(extra[name]))
    except msgspec.DecodeError:
        path = f"$.{name}"
        raise InvalidRequest(f"`{path}`: expected `object`.", param=path) from None


def _sampling(sampling: Sampling) -> Json:
    config: Json = {
        "maxOutputTokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": None if sampling.seed is None else sampling.seed % _SEEDS,
        "stopSequences": sampling.stop or None,
        "frequencyPenalty": sampling.frequency_penalty,
        "presencePenalty": sampling.presence_penalty,
        "responseLogprobs": sampling.logprobs or None,
        "logprobs": sampling.top_logprobs if sampling.logprobs else None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _format(wanted: ResponseFormat) -> Json:
    if wanted.kind == "text":
        return {}
    config: Json = {"responseMimeType": "application/json"}
    if wanted.schema is not None:
        config["responseJsonSchema"] = wanted.schema
    return config


def _tool(tool: Tool) -> Json:
    declared: Json = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.parameters:
        declared["parametersJsonSchema"] = tool.parameters
    return declared


def _calling(request: Request) -> Json:
    choice = request.tool_choice
    if not request.tools:
        return {}
    if choice.name is not None:
        config: Json = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    elif choice.mode != "auto":
        config = {"mode": "ANY" if choice.mode == "required" else "NONE"}
    else:
        return {}
    return {"functionCallingConfig": config}
