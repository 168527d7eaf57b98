"""What a Gemini request means: from the wire types to the kernel's `Request`.

Whatever cannot be expressed is refused here with the JSON path of the member at fault. Members
that nobody here understands travel on as raw JSON; those of `generationConfig` by themselves
under that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.gemini import wire
from glasslipper.gateway.dialects.gemini.schema import json_schema
from glasslipper.gateway.dialects.gemini.spelling import respelled
from glasslipper.gateway.dialects.gemini.turns import DIALECT, messages_of, needs_of
from glasslipper.kernel.errors import BadJSON, InvalidRequest, Unsupported
from glasslipper.kernel.messages import (
    HostedTool,
    Need,
    Reasoning,
    Request,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_LEVELS: dict[str, Effort] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
}
_decoder = Decoder(wire.GenerateRequest)
_encoder = msgspec.json.Encoder()
_MEMBERS = frozenset(map(wire.member, wire.GenerateRequest.__struct_fields__))
_UNDERSTOOD = _MEMBERS - {"cachedContent", "generationConfig", "safetySettings", "toolConfig"}
_CONFIG = frozenset(map(wire.member, wire.GenerationConfig.__struct_fields__))
_TOOL_CONFIG = frozenset({"functionCallingConfig"})
_tools_of = Decoder(wire.Tool)
_raws: Decoder[dict[str, Raw]] = Decoder(dict[str, Raw])


def decode(body: bytes, *, model: str, stream: bool) -> Request:
    """Return the request that a body makes; `model` and `stream` come from the address.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: It asks for what the gateway cannot express; `param` names it.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    body = checked(body)
    ask = parse(body, _decoder)
    config = ask.generation_config or wire.GenerationConfig()
    _refuse_what_cannot_be_expressed(config)
    contents = [ask.contents] if isinstance(ask.contents, wire.Content) else ask.contents
    tools, hosted, choice = _tools(ask)
    return Request(
        model=model.removeprefix("models/"),
        messages=messages_of(ask.system_instruction, contents, path="$.contents"),
        stream=stream,
        sampling=_sampling(config),
        tools=tools,
        hosted=hosted,
        needs=_need(ask, hosted) or needs_of(contents, path="$.contents"),
        tool_choice=choice,
        response_format=_response_format(config),
        reasoning=_reasoning(config.thinking_config),
        service_tier=ask.service_tier,
        extra=_extra(body),
    )


def shows_thoughts(request: Request) -> bool:
    """Return whether a client wants to see thoughts, which here it must ask for."""
    return request.reasoning is not None and not request.reasoning.exclude


def checked(body: bytes) -> bytes:
    """Return a body in UTF-8 with its known members spelled in one way.

    Raises:
        BadJSON: It is not UTF-8, or not JSON.
        InvalidRequest: It says the same in both spellings.
    """
    try:
        str(body, "utf-8")
    except UnicodeDecodeError as error:
        raise BadJSON(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    return respelled(body)


def _extra(body: bytes) -> dict[str, Raw]:
    extra = unknown(body, _UNDERSTOOD)
    for name, known in (("generationConfig", _CONFIG), ("toolConfig", _TOOL_CONFIG)):
        config = bytes(extra.pop(name, Raw(b"null")))
        if config != b"null" and (rest := unknown(config, known)):
            extra[name] = Raw(_encoder.encode(rest))
    return {name: raw for name, raw in extra.items() if bytes(raw) != b"null"}


def _refuse_what_cannot_be_expressed(config: wire.GenerationConfig) -> None:
    path = "$.generationConfig"
    if config.candidate_count not in (None, 1):
        where = f"{path}.candidateCount"
        raise Unsupported(f"`{where}`: only one answer per request is given.", param=where)
    for index, modality in enumerate(config.response_modalities or ()):
        if modality.upper() != "TEXT":
            where = f"{path}.responseModalities[{index}]"
            raise Unsupported(f"`{where}`: only text comes out.", param=where)


def _need(ask: wire.GenerateRequest, hosted: Sequence[HostedTool]) -> Need | None:
    """Return why only Google may be asked, if what the request names is to be had there only."""
    if bytes(ask.cached_content) not in (b"", b"null"):
        return Need(dialect=DIALECT, path="$.cachedContent", what="cachedContent")
    if not hosted:
        return None
    name = hosted[0].name
    at = next(at for at, raw in enumerate(ask.tools or ()) if name in parse(bytes(raw), _raws))
    return Need(dialect=DIALECT, path=f"$.tools[{at}].{name}", what=name)


def _sampling(config: wire.GenerationConfig) -> Sampling:
    path = "$.generationConfig"
    if config.logprobs is not None and not config.response_logprobs:
        raise invalid(f"{path}.logprobs", "needs `responseLogprobs` to be true")
    if config.top_k is not None and config.top_k != int(config.top_k):
        raise invalid(f"{path}.topK", "is not a whole number")
    return Sampling(
        max_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        seed=config.seed,
        stop=tuple(config.stop_sequences or ()),
        frequency_penalty=config.frequency_penalty,
        presence_penalty=config.presence_penalty,
        logprobs=bool(config.response_logprobs),
        top_logprobs=config.logprobs,
    )


def _reasoning(asked: wire.ThinkingConfig | None) -> Reasoning | None:
    if asked is None:
        return None
    exclude = not asked.include_thoughts
    path = "$.generationConfig.thinkingConfig"
    effort = None
    level = (asked.thinking_level or "").lower()
    if level not in ("", "thinking_level_unspecified"):
        effort = _LEVELS.get(level)
        if effort is None:
            raise invalid(f"{path}.thinkingLevel", f"expected one of {', '.join(_LEVELS)}")
    budget = asked.thinking_budget
    if budget is None:
        return Reasoning(effort=effort, exclude=exclude)
    if effort is not None:
        raise invalid(f"{path}.thinkingBudget", "send this or `thinkingLevel`")
    if budget <= 0:
        return Reasoning(enabled=budget < 0, exclude=exclude)
    return Reasoning(max_tokens=budget, exclude=exclude)


def _response_format(config: wire.GenerationConfig) -> ResponseFormat:
    path = "$.generationConfig"
    schema = config.response_json_schema
    if config.response_schema is not None:
        if schema is not None:
            raise invalid(f"{path}.responseSchema", "send this or `responseJsonSchema`")
        schema = json_schema(config.response_schema, f"{path}.responseSchema")
    kind = config.response_mime_type
    if kind in (None, "", "text/plain"):
        if schema is not None:
            raise invalid(f"{path}.responseMimeType", "must be application/json with a schema")
        return ResponseFormat()
    if kind != "application/json":
        where = f"{path}.responseMimeType"
        raise Unsupported(f"`{where}`: text and JSON are supported.", param=where)
    if schema is None:
        return ResponseFormat(kind="json_object")
    return ResponseFormat(kind="json_schema", schema=schema)


def _tools(
    ask: wire.GenerateRequest,
) -> tuple[tuple[Tool, ...], tuple[HostedTool, ...], ToolChoice]:
    functions: list[Tool] = []
    hosted: list[HostedTool] = []
    for at, raw in enumerate(ask.tools or ()):
        path = f"$.tools[{at}]"
        for index, function in enumerate(_declared(raw, path)):
            functions.append(_function(function, f"{path}.functionDeclarations[{index}]"))
        rest = unknown(bytes(raw), {"functionDeclarations"})
        if rest:
            name = next(iter(rest))
            whole = Raw(_encoder.encode(rest))
            hosted.append(HostedTool(dialect=DIALECT, name=name, raw=whole))
    tools = tuple(functions)
    chosen, choice = _choice(ask, tools)
    return chosen, tuple(hosted), choice


def _choice(
    ask: wire.GenerateRequest, tools: tuple[Tool, ...]
) -> tuple[tuple[Tool, ...], ToolChoice]:
    config = ask.tool_config.function_calling_config if ask.tool_config else None
    if config is None or config.mode in (None, "MODE_UNSPECIFIED", "AUTO"):
        return tools, ToolChoice()
    if config.mode == "NONE":
        return tools, ToolChoice(mode="none")
    return _chosen(tools, config)


def _declared(raw: Raw, path: str) -> list[wire.Function]:
    try:
        return parse(bytes(raw), _tools_of).function_declarations or []
    except InvalidRequest as error:
        inner = f"{path}{(error.param or '$').removeprefix('$')}"
        words = error.message.replace(f"`{error.param}`", f"`{inner}`", 1)
        raise type(error)(words, param=inner) from None


def _function(function: wire.Function, path: str) -> Tool:
    parameters = function.parameters_json_schema
    if function.parameters is not None:
        if parameters is not None:
            raise invalid(f"{path}.parameters", "send this or `parametersJsonSchema`")
        parameters = json_schema(function.parameters, f"{path}.parameters")
    return Tool(
        name=function.name, description=function.description or "", parameters=parameters or {}
    )


def _chosen(
    tools: tuple[Tool, ...], config: wire.CallingConfig
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Leave only the tools that may be called; `VALIDATED` is read as `AUTO` among them."""
    path = "$.toolConfig.functionCallingConfig"
    allowed = set(config.allowed_function_names or ())
    names = {tool.name for tool in tools}
    if not allowed <= names:
        where = f"{path}.allowedFunctionNames"
        raise invalid(where, "a function of this name is not declared")
    if config.mode == "ANY" and not tools:
        raise invalid(f"{path}.mode", "a call is required, but no functions are declared")
    if config.mode == "ANY" and len(allowed) == 1:
        return tools, ToolChoice(mode="required", name=allowed.pop())
    if allowed:
        tools = tuple(tool for tool in tools if tool.name in allowed)
    return tools, ToolChoice(mode="auto" if config.mode == "VALIDATED" else "required")
