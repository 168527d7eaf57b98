"""What a chat request means: from the wire types to the kernel's `Request`.

Whatever cannot be expressed is refused here with the JSON path of the member at fault; nothing
is dropped but what has no effect. Members that nobody here understands travel on as raw JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.chat import wire
from glasslipper.gateway.dialects.chat.kinds import DIALECT
from glasslipper.gateway.dialects.chat.turns import messages_of, need_of
from glasslipper.kernel.errors import InvalidRequest, Unsupported
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


class _RawTools(Struct):
    tools: list[Raw]


_DECODER = Decoder(wire.ChatRequest)
_TOOLS = Decoder(_RawTools)
_UNDERSTOOD = frozenset(wire.ChatRequest.__struct_fields__) - wire.CHECKED_ONLY


def decode(body: bytes) -> Request:
    """Return the request that a chat-completions body makes.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: It asks for what the gateway cannot express; `param` names it.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    ask = parse(body, _DECODER)
    extra = unknown(body, _UNDERSTOOD)
    _refuse_what_cannot_be_expressed(ask)
    tools, hosted = _tools(ask, body)
    tools, choice = _tool_choice(ask, tools)
    model, *others = models_of(ask.model, ask.models)
    return Request(
        model=model,
        messages=messages_of(ask.messages),
        stream=bool(ask.stream),
        sampling=_sampling(ask),
        tools=tools,
        hosted=hosted,
        needs=_need(ask, hosted) or need_of(ask.messages),
        tool_choice=choice,
        parallel_tool_calls=ask.parallel_tool_calls,
        response_format=_response_format(ask.response_format),
        reasoning=_reasoning(ask),
        models=tuple(others),
        service_tier=ask.service_tier,
        user=ask.user,
        session_id=ask.session_id,
        metadata=ask.metadata or {},
        extra=_told(ask, extra),
    )


def _told(ask: wire.ChatRequest, extra: dict[str, Raw]) -> dict[str, Raw]:
    """Return the members to pass on; that only text is wanted is no news to anybody."""
    if all(modality == "text" for modality in ask.modalities or ()):
        extra.pop("modalities", None)
    return {name: raw for name, raw in extra.items() if bytes(raw) != b"null"}


def _refuse_what_cannot_be_expressed(ask: wire.ChatRequest) -> None:
    if ask.n is not None and ask.n != 1:
        raise Unsupported("`$.n`: only one answer per request is given.", param="$.n")
    if ask.functions is not None or ask.function_call is not None:
        path = "$.functions" if ask.functions is not None else "$.function_call"
        raise Unsupported(
            f"`{path}`: this older form is not spoken.",
            param=path,
            hint="Use `tools` and `tool_choice`.",
        )
    for index, modality in enumerate(ask.modalities or ()):
        if modality not in ("text", "image"):
            path = f"$.modalities[{index}]"
            raise Unsupported(f"`{path}`: only text and pictures come out.", param=path)


def models_of(model: str | None, others: Sequence[str] | None) -> list[str]:
    """Return the models to try, in order and each once.

    Raises:
        InvalidRequest: There is none.
    """
    named = [] if model is None else [model]
    models = list(dict.fromkeys([*named, *(others or ())]))
    if not models:
        raise invalid("$.model", "is required")
    return models


def _reasoning(ask: wire.ChatRequest) -> Reasoning | None:
    """Return the wish to think, from its three places.

    `include_reasoning` is OpenRouter's older word for not wanting to see it.
    """
    if (
        ask.reasoning is None
        and ask.reasoning_effort is None
        and ask.include_reasoning is not False
    ):
        return None
    wish = ask.reasoning or wire.Reasoning()
    if None not in (wish.effort, ask.reasoning_effort) and wish.effort != ask.reasoning_effort:
        raise InvalidRequest(
            f"`$.reasoning_effort` is {ask.reasoning_effort} and `$.reasoning.effort` is"
            f" {wish.effort}.",
            param="$.reasoning_effort",
            hint="Send one of the two.",
        )
    exclude = ask.include_reasoning is False if wish.exclude is None else wish.exclude
    return Reasoning(
        enabled=wish.enabled,
        effort=wish.effort or ask.reasoning_effort,
        max_tokens=wish.max_tokens,
        exclude=exclude,
        summary=wish.summary,
    )


def _max_tokens(ask: wire.ChatRequest) -> int | None:
    old, new = ask.max_tokens, ask.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            f"`$.max_tokens` is {old} and `$.max_completion_tokens` is {new}.",
            param="$.max_tokens",
            hint="Send one of the two.",
        )
    return new if old is None else old


def _sampling(ask: wire.ChatRequest) -> Sampling:
    if ask.top_logprobs is not None and not ask.logprobs:
        raise invalid("$.top_logprobs", "needs `logprobs` to be true")
    return Sampling(
        max_tokens=_max_tokens(ask),
        temperature=ask.temperature,
        top_p=ask.top_p,
        top_k=ask.top_k,
        min_p=ask.min_p,
        seed=ask.seed,
        stop=(ask.stop,) if isinstance(ask.stop, str) else tuple(ask.stop or ()),
        frequency_penalty=ask.frequency_penalty,
        presence_penalty=ask.presence_penalty,
        repetition_penalty=ask.repetition_penalty,
        logit_bias=ask.logit_bias,
        logprobs=bool(ask.logprobs),
        top_logprobs=ask.top_logprobs,
    )


def _tools(ask: wire.ChatRequest, body: bytes) -> tuple[tuple[Tool, ...], tuple[HostedTool, ...]]:
    """Return the client's own tools, and those that the provider runs."""
    given = ask.tools or ()
    if all(tool.type == "function" for tool in given):
        return tuple(tool_of(tool, f"$.tools[{at}]") for at, tool in enumerate(given)), ()
    tools: list[Tool] = []
    hosted: list[HostedTool] = []
    for at, (tool, raw) in enumerate(zip(given, parse(body, _TOOLS).tools, strict=True)):
        path = f"$.tools[{at}]"
        if tool.type == "function":
            tools.append(tool_of(tool, path))
        elif tool.type == "custom":
            raise Unsupported(
                f"`{path}.type`: tools that take text are not called in this dialect.",
                param=f"{path}.type",
                hint="Give the tool one parameter of type string, or use /responses.",
            )
        else:
            name = tool.function.name if tool.function else tool.type
            place = len(tools)
            hosted.append(HostedTool(dialect=DIALECT, name=name, raw=raw.copy(), place=place))
    return tuple(tools), tuple(hosted)


def _need(ask: wire.ChatRequest, hosted: Sequence[HostedTool]) -> Need | None:
    if "image" in (ask.modalities or ()):
        path = f"$.modalities[{(ask.modalities or []).index('image')}]"
        return Need(dialect=DIALECT, path=path, what="image")
    if not hosted:
        return None
    kinds = [tool.type for tool in ask.tools or ()]
    at, kind = next((at, kind) for at, kind in enumerate(kinds) if kind != "function")
    maker, colon, _ = kind.partition(":")
    return Need(
        dialect=DIALECT,
        path=f"$.tools[{at}].type",
        what=kind,
        provider=maker if colon else None,
    )


def tool_of(tool: wire.FunctionTool, path: str) -> Tool:
    """Return the tool that a client offers; `path` is where it stands.

    Raises:
        InvalidRequest: It is no function.
    """
    function = tool.function
    if function is None:
        raise invalid(f"{path}.function", "is required")
    return Tool(
        name=function.name,
        description=function.description or "",
        parameters=function.parameters or {},
        strict=function.strict,
    )


def _allowed(
    allowed: wire.AllowedTools, tools: tuple[Tool, ...]
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools that may be called; the others are not shown to the model."""
    names = {named.function.name for named in allowed.tools if named.function is not None}
    if not names <= {tool.name for tool in tools}:
        path = "$.tool_choice.allowed_tools.tools"
        raise invalid(path, "names what is none of the `tools`")
    left = tuple(tool for tool in tools if tool.name in names)
    return left, ToolChoice(mode=allowed.mode)


def _tool_choice(
    ask: wire.ChatRequest, tools: tuple[Tool, ...]
) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return the tools to show, and the choice among them."""
    choice = "required" if ask.tool_choice == "any" else ask.tool_choice  # Mistral's word
    if choice is None:
        return tools, ToolChoice()
    if isinstance(choice, str):
        if choice == "required" and not tools:
            raise invalid("$.tool_choice", "a call is required, but there are no `tools`")
        return tools, ToolChoice(mode=choice)
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        return _allowed(choice.allowed_tools, tools)
    if choice.type != "function":
        raise Unsupported(
            "`$.tool_choice.type`: `function` and `allowed_tools` are supported.",
            param="$.tool_choice.type",
        )
    if choice.function is None:
        raise invalid("$.tool_choice.function", "is required")
    name = choice.function.name
    if all(tool.name != name for tool in tools):
        raise invalid("$.tool_choice.function.name", "none of the `tools` has this name")
    return tools, ToolChoice(mode="required", name=name)


def _response_format(asked: wire.Format | None) -> ResponseFormat:
    if asked is None or asked.type == "text":
        return ResponseFormat()
    if asked.type == "json_object":
        return ResponseFormat(kind="json_object")
    if asked.json_schema is None:
        raise invalid("$.response_format.json_schema", "is required")
    schema = asked.json_schema
    return ResponseFormat(
        kind="json_schema",
        name=schema.name,
        description=schema.description,
        schema=schema.schema,
        strict=schema.strict,
    )
