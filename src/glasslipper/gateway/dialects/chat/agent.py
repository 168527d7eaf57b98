"""A chat request with tools that is otherwise plain: what agents send most of the time.

Words, in one text or in several, tool calls and their results in the conversation, and functions
that may be called. Agents send the same tools with every request, so those are read once and
known again by their bytes. A body with any other member, or with a message that its role should
not have, is not read here; `request` reads it, and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType, ValidationError, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.chat import wire
from glasslipper.gateway.dialects.chat.plain import (
    Asking,
    PlainRequest,
    decode_plain,
    is_odd,
    sampling_of,
)
from glasslipper.gateway.dialects.chat.plain import request_of as request_of_plain
from glasslipper.gateway.dialects.chat.request import tool_of
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.messages import Message, Request, TextPart, Tool, ToolCall, ToolChoice

MOST_TOOLS_BYTES = 64 << 10
"""Longer lists of tools are read anew each time, by `request`."""

_MOST_LISTS = 64


class AgentFunction(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What was called, with arguments that are nothing but an object, as JSON text."""

    name: wire.Name
    arguments: Annotated[str, Meta(pattern="^{")]


class AgentCall(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A tool call in the history."""

    id: wire.Name
    function: AgentFunction
    type: Literal["function"] = "function"


class AgentText(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Some of the words of a message."""

    text: str
    type: Literal["text"]


class AgentTurn(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A message: words, calls, or the result of a call. What is always null means nothing."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | Annotated[list[AgentText], Meta(min_length=1)] | None
    tool_call_id: wire.Name | None = None
    tool_calls: Annotated[list[AgentCall], Meta(min_length=1)] | None = None
    refusal: None = None
    function_call: None = None
    reasoning: None = None
    reasoning_content: None = None

    @property
    def texts(self) -> Sequence[str]:
        """The words, piece by piece."""
        content = self.content
        if content is None:
            return ()
        return (content,) if isinstance(content, str) else [part.text for part in content]


class Toolkit:
    """The functions of a request; requests with the same ones share it."""

    __slots__ = ("by_name", "tools")

    def __init__(self, tools: tuple[Tool, ...]) -> None:
        self.tools = tools
        self.by_name = {tool.name: tool for tool in tools}


class AgentRequest(Asking, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, dict=True):
    """The body of a chat request with tools."""

    messages: Annotated[list[AgentTurn], Meta(min_length=1)]
    tools: Raw | UnsetType = UNSET
    tool_choice: Literal["auto", "none", "required"] | None = None
    parallel_tool_calls: bool | None = None

    @cached_property
    def toolkit(self) -> Toolkit | None:
        """The tools, or `None` where there is none, one that is no function, or too many."""
        if isinstance(self.tools, UnsetType):
            return None
        written = bytes(self.tools)
        return _toolkit(written) if len(written) <= MOST_TOOLS_BYTES else None


_decoder = Decoder(AgentRequest)
_tools = Decoder(list[wire.FunctionTool])


def decode_ask(body: bytes) -> PlainRequest | AgentRequest | None:
    """Return what a body says if it is plain, or plain but for its tools; else `None`."""
    return decode_plain(body) or decode_agent(body)


def decode_agent(body: bytes) -> AgentRequest | None:
    """Return what a body says if it is plain but for its tools; else `None`."""
    try:
        ask = _decoder.decode(body)
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if is_odd(ask) or not all(map(_is_in_its_role, ask.messages)):
        return None
    is_bare = isinstance(ask.tools, UnsetType) and ask.tool_choice is None
    return ask if is_bare or ask.toolkit is not None else None


def lean(turns: list[AgentTurn]) -> list[AgentTurn]:
    """Return messages so that one piece of words is written as a text, which all understand."""
    return [
        structs.replace(turn, content=turn.texts[0])
        if isinstance(turn.content, list) and len(turn.content) == 1
        else turn
        for turn in turns
    ]


def _is_in_its_role(turn: AgentTurn) -> bool:
    """Tell whether a message has what its role needs and nothing that it may not have."""
    if turn.role == "assistant":
        return turn.tool_call_id is None
    is_result = turn.role == "tool"
    has_id = turn.tool_call_id is not None
    return turn.content is not None and turn.tool_calls is None and has_id == is_result


@lru_cache(maxsize=_MOST_LISTS)
def _toolkit(written: bytes) -> Toolkit | None:
    try:
        given = _tools.decode(written)
        if not given or any(tool.type != "function" for tool in given):
            return None
        return Toolkit(tuple([tool_of(tool, "$.tools") for tool in given]))
    except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest):
        return None


def request_of(ask: PlainRequest | AgentRequest) -> Request:
    """Return the request that a body makes: the one that `decode` would return."""
    if isinstance(ask, PlainRequest):
        return request_of_plain(ask)
    return Request(
        model=ask.model,
        messages=tuple(map(_message, ask.messages)),
        stream=bool(ask.stream),
        sampling=sampling_of(ask),
        tools=() if ask.toolkit is None else ask.toolkit.tools,
        tool_choice=ToolChoice() if ask.tool_choice is None else ToolChoice(mode=ask.tool_choice),
        parallel_tool_calls=ask.parallel_tool_calls,
        user=ask.user,
        heard_as="chat",
    )


def _message(turn: AgentTurn) -> Message:
    return Message(
        role=turn.role,
        parts=tuple([TextPart(text=text) for text in turn.texts]),
        tool_calls=tuple(
            [
                ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in turn.tool_calls or ()
            ]
        ),
        tool_call_id=turn.tool_call_id,
    )
