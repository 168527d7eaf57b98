"""A conversation in the roles that small models' chat templates know: system, user, assistant.

Tools are described in the system prompt; their calls and results are written out in the
conversation, in the words that open models are commonly trained on. Knows no template and no
tokenizer: the engine applies those.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from glasslipper.kernel.errors import InvalidRequest, Unsupported
from glasslipper.kernel.messages import (
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    Tool,
)
from glasslipper.local.constrain import Constraint, call_text

SYSTEM = "You are a helpful assistant."
"""What a model is told where the request tells it nothing; templates may have odd defaults."""

_MESSAGE_TOKENS = 32
_TEMPLATE_TOKENS = 256


def prompt(request: Request, constraint: Constraint) -> list[dict[str, str]]:
    """Return the conversation as `{"role", "content"}`, neighbours of one role joined.

    Raises:
        InvalidRequest: There is nothing to answer.
        Unsupported: A message holds what no text model can take.
    """
    if not request.messages:
        raise InvalidRequest("There is no message to answer.", param="$.messages")
    turns = [_turn(message, at) for at, message in enumerate(request.messages)]
    if turns[0][0] != "system":
        turns.insert(0, ("system", SYSTEM))
    if constraint.tools:
        role, text = turns[0]
        turns[0] = (role, f"{text}\n\n{_tool_talk(constraint.tools)}")
    joined: list[dict[str, str]] = []
    for role, text in turns:
        if joined and joined[-1]["role"] == role:
            joined[-1]["content"] += "\n\n" + text
        else:
            joined.append({"role": role, "content": text})
    return joined


def ceiling_tokens(turns: Sequence[dict[str, str]]) -> int:
    """Return more tokens than the conversation can have.

    No tokenizer here makes more than one token of a byte, and no sane template adds more than
    the allowance for itself and for each message.
    """
    words_bytes = sum(len(turn["content"].encode()) for turn in turns)
    return words_bytes + _MESSAGE_TOKENS * len(turns) + _TEMPLATE_TOKENS


def _turn(message: Message, at: int) -> tuple[str, str]:
    text = "".join(_words(part, at, number) for number, part in enumerate(message.parts))
    match message.role:
        case "system" | "developer":
            return "system", text
        case "tool":
            return "user", f"<tool_response>\n{text}\n</tool_response>"
        case "assistant":
            calls = [
                f"<tool_call>\n{call_text(call.name, call.arguments or '{}')}\n</tool_call>"
                for call in message.tool_calls
            ]
            return "assistant", "\n".join([text, *calls] if text else calls)
        case "user":
            return "user", text


def _words(part: Part, at: int, number: int) -> str:
    match part:
        case TextPart() | RefusalPart():
            return part.text
        case ReasoningPart():
            return ""
        case _:
            kind = type(part).__name__.removesuffix("Part").lower()
            raise Unsupported(
                f"Local models read text only, not {kind} content.",
                param=f"$.messages[{at}].content[{number}]",
            )


def _tool_talk(tools: Sequence[Tool]) -> str:
    """Return what the system prompt says about the tools.

    The tags and their order are those that open models are trained on; of the wordings tried,
    this one made a model of half a billion parameters call and not call most often rightly.
    """
    signatures = "\n".join(_signature(tool) for tool in tools)
    return (
        "# Tools\n\nYou may call functions to assist with the user's question. Function signatures "
        f"within <tools></tools> XML tags:\n<tools>\n{signatures}\n</tools>\n\n"
        "For a function call, return a json object with the function's name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def _signature(tool: Tool) -> str:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)
