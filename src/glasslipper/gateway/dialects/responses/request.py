"""What a request to the Responses API means: from the wire types to the kernel's `Request`.

Whatever cannot be expressed is refused with the JSON path of the member at fault. The items that
the request only names, and the response that it continues, come out of a store: `state`
puts them in. Of the members that the chat format knows too, some travel on as raw JSON.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.chat.request import models_of
from glasslipper.gateway.dialects.responses import wire
from glasslipper.gateway.dialects.responses.echo import Echo, echo_of
from glasslipper.gateway.dialects.responses.items import Fragment, fragments_of, join
from glasslipper.gateway.dialects.responses.tools import allowed, choice_of, left_out, tools_of
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.messages import (
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Sampling,
    TextPart,
)

PASSED_ON = frozenset(
    {
        "auto",
        "cache_control",
        "plugins",
        "preset",
        "prompt_cache_key",
        "prompt_cache_retention",
        "provider",
        "safety_identifier",
        "trace",
        "transforms",
    }
)
"""Members that mean the same in the chat format and travel on as raw JSON."""

LOGPROBS = "message.output_text.logprobs"

_DECODER = Decoder(wire.ResponsesRequest)
_NOT_PASSED_ON = frozenset(wire.ResponsesRequest.__struct_fields__) - PASSED_ON


class Ask(Struct, frozen=True, kw_only=True):
    """A request as it was made: what to ask of a model, what to repeat, and the input itself.

    `request.messages` lacks what lies in a store until `state.resume` has put it in.
    `history` is what came before the input: nothing, until then. `tools_left_out` are the types
    of tools that cannot be had.
    """

    request: Request
    echo: Echo
    input: tuple[Fragment, ...]
    history: tuple[Message, ...] = ()
    tools_left_out: tuple[str, ...] = ()


def decode(body: bytes) -> Ask:
    """Return the request that a body makes.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: It asks for what the gateway cannot express; `param` names it.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    ask = parse(body, _DECODER)
    extra = unknown(body, _NOT_PASSED_ON)
    _refuse_what_cannot_be_expressed(ask)
    fragments = fragments_of(ask.input or (), "$.input")
    if not fragments and ask.previous_response_id is None:
        raise invalid("$.input", "is required")
    given = ask.tools or ()
    tools = allowed(ask.tool_choice, given, tools_of(given))
    model, *others = models_of(ask.model, ask.models)
    request = Request(
        model=model,
        models=tuple(others),
        messages=messages_of(ask.instructions, [f for f in fragments if isinstance(f, Message)]),
        stream=bool(ask.stream),
        sampling=_sampling(ask),
        tools=tools,
        tool_choice=choice_of(ask.tool_choice, given, tools),
        parallel_tool_calls=ask.parallel_tool_calls,
        response_format=_response_format(ask.text),
        reasoning=_reasoning(ask.reasoning),
        service_tier=ask.service_tier,
        user=ask.user,
        session_id=ask.session_id,
        metadata=ask.metadata or {},
        extra=_extra(ask, extra),
    )
    return Ask(request=request, echo=echo_of(ask), input=fragments, tools_left_out=left_out(given))


def messages_of(instructions: str | None, fragments: list[Message]) -> tuple[Message, ...]:
    """Return the messages that a model is shown: the instructions first, as the system's."""
    messages = join(fragments)
    if not instructions:
        return messages
    return (Message(role="system", parts=(TextPart(text=instructions),)), *messages)


def _refuse_what_cannot_be_expressed(ask: wire.ResponsesRequest) -> None:
    refused = {
        "background": (ask.background, "answers are given while the client waits"),
        "conversation": (ask.conversation, "conversations are continued by `previous_response_id`"),
        "prompt": (ask.prompt, "there are no stored prompts"),
    }
    for name, (value, why) in refused.items():
        if value:
            raise Unsupported(f"`$.{name}`: {why}.", param=f"$.{name}")


def _sampling(ask: wire.ResponsesRequest) -> Sampling:
    wants_logprobs = LOGPROBS in (ask.include or ()) or bool(ask.top_logprobs)
    return Sampling(
        max_tokens=ask.max_output_tokens,
        temperature=ask.temperature,
        top_p=ask.top_p,
        top_k=ask.top_k,
        frequency_penalty=ask.frequency_penalty,
        presence_penalty=ask.presence_penalty,
        logprobs=wants_logprobs,
        top_logprobs=ask.top_logprobs or None,
    )


def _response_format(text: wire.Text | None) -> ResponseFormat:
    asked = text.format if text else None
    if asked is None or asked.type == "text":
        return ResponseFormat()
    if asked.type == "json_object":
        return ResponseFormat(kind="json_object")
    for member in ("name", "schema"):
        if getattr(asked, member) is None:
            raise invalid(f"$.text.format.{member}", "is required")
    return ResponseFormat(
        kind="json_schema",
        name=asked.name,
        description=asked.description,
        schema=asked.schema,
        strict=asked.strict,
    )


def _reasoning(wish: wire.Reasoning | None) -> Reasoning | None:
    if wish is None:
        return None
    return Reasoning(
        enabled=wish.enabled,
        effort=wish.effort,
        max_tokens=wish.max_tokens,
        exclude=bool(wish.exclude),
        summary=wish.summary or wish.generate_summary,
    )


def _extra(ask: wire.ResponsesRequest, members: dict[str, Raw]) -> dict[str, Raw]:
    extra = {
        name: raw for name, raw in members.items() if name in PASSED_ON and bytes(raw) != b"null"
    }
    if ask.text is not None and ask.text.verbosity is not None:
        extra["verbosity"] = Raw(msgspec.json.encode(ask.text.verbosity))
    return extra
