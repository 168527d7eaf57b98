"""Tools of the Responses format as the functions that every provider knows, and back.

A function stays what it is. A *custom* tool, which takes free text, becomes a function of one
member, `input`; a *namespace* becomes its tools, each with the namespace before its name. Tools
that OpenAI itself runs, such as web search, cannot be had elsewhere: they are left out, and
refused only where a call of one is forced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.responses import wire
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.messages import Tool, ToolCall, ToolChoice

HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
"""Types of tools that only OpenAI's own models have."""

INPUT = "input"
"""The one member of the arguments that stand for a custom tool's text."""

MOST_LETTERS = 64
"""How long a function's name may be with most providers."""

_HASH_LETTERS = 8


class Origin(Struct, frozen=True):
    """What a function was in the request that is now called by another name or in another form."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class _Input(Struct):
    input: str


_input = msgspec.json.Decoder(_Input)


def flat_name(name: str, namespace: str | None) -> str:
    """Return what a tool of a namespace is called as a function; always the same.

    >>> flat_name("search", None), flat_name("search", "mail")
    ('search', 'mail__search')
    """
    if namespace is None:
        return name
    flat = f"{namespace}__{name}"
    if len(flat) <= MOST_LETTERS:
        return flat
    mark = hashlib.sha256(flat.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LETTERS]
    return f"{flat[: MOST_LETTERS - _HASH_LETTERS - 1]}_{mark}"


def tools_of(given: Sequence[wire.Tool]) -> tuple[Tool, ...]:
    """Return the functions that tools are, those left out that cannot be had.

    Raises:
        InvalidRequest: A tool lacks its name.
        Unsupported: There is no such type of tool.
    """
    return tuple(_functions(given))


def left_out(given: Sequence[wire.Tool]) -> tuple[str, ...]:
    """Return the types of the tools that cannot be had."""
    return tuple(dict.fromkeys(tool.type for tool in given if tool.type in HOSTED))


def _functions(given: Sequence[wire.Tool]) -> Iterator[Tool]:
    for index, tool in enumerate(given):
        path = f"$.tools[{index}]"
        if tool.type != "namespace":
            yield from _function(tool, path, None)
            continue
        if tool.name is None:
            raise invalid(f"{path}.name", "is required")
        for inner, member in enumerate(tool.tools or ()):
            yield from _function(member, f"{path}.tools[{inner}]", tool.name)


def _function(tool: wire.Tool, path: str, namespace: str | None) -> Iterator[Tool]:
    if tool.type in HOSTED:
        return
    if tool.type not in ("function", "custom"):
        raise Unsupported(f"`{path}.type`: there is no such tool here.", param=f"{path}.type")
    if tool.name is None:
        raise invalid(f"{path}.name", "is required")
    name = flat_name(tool.name, namespace)
    if tool.type == "custom":
        yield _of_text(tool, name)
        return
    yield Tool(
        name=name,
        description=tool.description or "",
        parameters=tool.parameters or {},
        strict=tool.strict,
    )


def _of_text(tool: wire.Tool, name: str) -> Tool:
    text: dict[str, object] = {"type": "string"}
    if tool.format is not None and tool.format.definition:
        text["description"] = (
            f"Text by this {tool.format.syntax or 'formal'} grammar:\n{tool.format.definition}"
        )
    parameters: dict[str, object] = {
        "type": "object",
        "properties": {INPUT: text},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return Tool(name=name, description=tool.description or "", parameters=parameters)


def allowed(
    choice: wire.Mode | wire.Choice | None, given: Sequence[wire.Tool], tools: tuple[Tool, ...]
) -> tuple[Tool, ...]:
    """Return the tools that a choice leaves; others are not shown to the model.

    Raises:
        InvalidRequest: The choice names a tool that is not there.
    """
    if not isinstance(choice, wire.Choice) or choice.type != "allowed_tools":
        return tools
    names = {tool.name for tool in tools}
    spaces = {tool.name for tool in given if tool.type == "namespace"}
    found: set[str] = set()
    for index, named in enumerate(choice.tools or ()):
        if named.type in HOSTED:
            continue
        if named.type == "namespace" and named.name in spaces:
            found |= {tool.name for tool in tools if tool.name.startswith(f"{named.name}__")}
            continue
        name = flat_name(named.name or "", named.namespace)
        if named.type not in ("function", "custom") or name not in names:
            raise invalid(f"$.tool_choice.tools[{index}]", "names none of the `tools`")
        found.add(name)
    return tuple(tool for tool in tools if tool.name in found)


def choice_of(
    choice: wire.Mode | wire.Choice | None, given: Sequence[wire.Tool], tools: tuple[Tool, ...]
) -> ToolChoice:
    """Return the choice among `tools`, which are those that the choice leaves.

    Raises:
        InvalidRequest: It asks for a tool that is not there.
        Unsupported: It forces the call of a tool that cannot be had.
    """
    if choice is None:
        return ToolChoice()
    mode = choice if isinstance(choice, str) else choice.mode or "auto"
    if isinstance(choice, str) or choice.type == "allowed_tools":
        if mode == "required" and not tools:
            if left_out(given):
                raise _cannot_be_had(left_out(given)[0], "$.tool_choice")
            raise invalid("$.tool_choice", "a call is required, but there are no `tools`")
        return ToolChoice(mode=mode)
    if choice.type in HOSTED:
        raise _cannot_be_had(choice.type, "$.tool_choice.type")
    if choice.type not in ("function", "custom"):
        raise Unsupported(
            "`$.tool_choice.type`: only `function`, `custom` and `allowed_tools` are supported.",
            param="$.tool_choice.type",
        )
    name = flat_name(choice.name or "", choice.namespace)
    if all(tool.name != name for tool in tools):
        raise invalid("$.tool_choice.name", "none of the `tools` has this name")
    return ToolChoice(mode="required", name=name)


def _cannot_be_had(kind: str, path: str) -> Unsupported:
    return Unsupported(
        f"`{path}`: `{kind}` runs at OpenAI only, so no call of it can be forced.", param=path
    )


def call_of_text(call_id: str, name: str, text: str) -> ToolCall:
    """Return the call of a custom tool as one of the function that stands for it."""
    return ToolCall(id=call_id, name=name, arguments=msgspec.json.encode(_Input(text)).decode())


def text_of(arguments: str) -> str:
    """Return the text that arguments carry; if they are not what was asked for, they are it."""
    try:
        return _input.decode(arguments).input
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
