"""The shape that an answer must have, as a grammar that the engine enforces token by token.

A tool call is written `{"name": …, "arguments": …}`, optionally after the word that models are
trained to put before one; free text may begin with anything else, so that the first characters
tell which of the two it is. Grammars are in the Lark-like language of llguidance, with JSON
Schemas inside. `calls` reads what comes out; nothing here generates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import Request, ResponseFormat, Tool, ToolChoice

CALL_MARK = "<tool_call>\n"
"""What may stand before a call among words, and must where the answer is JSON itself."""

SENTINEL = "~#~#~"
"""What no model says by itself."""

_MOST_SCHEMA_BYTES = 64 << 10
_HEAD = "%llguidance {}\n"
_FREE_TEXT = r"TEXT: /([^{<]|<[^t])(.|\n)*/" + "\n"
_GUIDANCE = {"whitespace_flexible": False, "coerce_one_of": True}


class Constraint(Struct, frozen=True, kw_only=True):
    """How an answer is bound.

    `tools` are those that it may call; `grammar` is `None` where anything goes, and `is_json`
    tells that an answer in words is a JSON text. `param` is the field of the request that asks
    for it.
    """

    grammar: str | None = None
    tools: tuple[Tool, ...] = ()
    is_json: bool = False
    param: str = "$"


def plan(request: Request) -> Constraint:
    """Return how the answer to the request is bound.

    Raises:
        InvalidRequest: A tool or schema cannot be used, or the choice names no tool.
    """
    tools, must_call = _choose(request.tools, request.tool_choice)
    answer = _answer_schema(request.response_format)
    if not tools and answer is None:
        return Constraint()
    rules = [_HEAD, "start: ", _start(tools, must_call=must_call, answer=answer), "\n"]
    if tools:
        names = " | ".join(f"call_{number}" for number in range(len(tools)))
        rules.append(f"call: {names}\n")
        rules += [_call_rules(number, tool) for number, tool in enumerate(tools)]
    if answer is not None:
        rules.append(f"answer: %json {_json(answer)}\n")
    elif not must_call:
        rules.append(_FREE_TEXT)
    return Constraint(
        grammar="".join(rules),
        tools=tools,
        is_json=answer is not None,
        param="$.tools" if tools else "$.response_format",
    )


def guarded(grammar: str) -> str:
    """Return the grammar with the sentinel before all that it allows."""
    return grammar.replace("start: ", f'start: "{SENTINEL}" bound\nbound: ', 1)


def call_text(name: str, arguments: str) -> str:
    """Return a call the way that models are shown and made to write it."""
    return call_head(name) + arguments + "}"


def call_head(name: str) -> str:
    """Return what stands before the arguments of a call."""
    return f'{{"name": {json.dumps(name)}, "arguments": '


def _choose(tools: Sequence[Tool], choice: ToolChoice) -> tuple[tuple[Tool, ...], bool]:
    """Return the tools that may be called, and whether one must be."""
    if choice.name is not None:
        named = tuple(tool for tool in tools if tool.name == choice.name)
        if not named:
            raise InvalidRequest(f"There is no tool {choice.name!r}.", param="$.tool_choice")
        return named[:1], True
    if choice.mode == "none":
        return (), False
    if choice.mode == "required" and not tools:
        raise InvalidRequest("A tool must be called, but there is none.", param="$.tool_choice")
    return tuple(tools), choice.mode == "required"


def _start(tools: Sequence[Tool], *, must_call: bool, answer: Mapping[str, object] | None) -> str:
    mark = json.dumps(CALL_MARK)
    if not tools:
        return "answer"
    if must_call:
        return "call"
    return f"{mark} call | answer" if answer is not None else f"{mark}? call | TEXT"


def _call_rules(number: int, tool: Tool) -> str:
    schema = dict(tool.parameters)
    if not schema.keys() & {"type", "$ref", "anyOf", "oneOf", "allOf"}:
        schema["type"] = "object"
    _check_size(schema, f"$.tools[{number}].function.parameters")
    head = json.dumps(call_head(tool.name), ensure_ascii=False)
    return f'call_{number}: {head} args_{number} "}}"\nargs_{number}: %json {_json(schema)}\n'


def _answer_schema(wanted: ResponseFormat) -> Mapping[str, object] | None:
    if wanted.kind == "text":
        return None
    if wanted.kind == "json_object":
        return {"type": "object"}
    if wanted.schema is None:
        raise InvalidRequest("The schema is missing.", param="$.response_format.json_schema")
    _check_size(wanted.schema, "$.response_format.json_schema.schema")
    return wanted.schema


def _check_size(schema: Mapping[str, object], param: str) -> None:
    if len(json.dumps(schema)) > _MOST_SCHEMA_BYTES:
        raise Unsupported(
            f"The schema is larger than {_MOST_SCHEMA_BYTES:,} bytes.",
            hint="Send a smaller schema, or choose another model.",
            param=param,
        )


def _json(schema: Mapping[str, object]) -> str:
    own = cast("dict[str, object]", schema.get("x-guidance") or {})
    return json.dumps({**schema, "x-guidance": {**own, **_GUIDANCE}})
