"""What a legacy completions request means: what a chat request with one message means.

Only the members that chat does not have are understood here; the rest is chat's, with its rules
and its errors. What continues or repeats the prompt cannot be had from a model that chats.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid, parse, unknown
from glasslipper.gateway.dialects.chat import request as chat_request
from glasslipper.kernel.errors import Unsupported
from glasslipper.kernel.messages import Request


class CompletionsBody(Struct, frozen=True, kw_only=True):
    """The members that only this dialect has."""

    prompt: str | list[str | int | list[int]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: Annotated[int, Meta(ge=0, le=20)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


_decoder = Decoder(CompletionsBody)
_encoder = msgspec.json.Encoder()
_OWN = frozenset(CompletionsBody.__struct_fields__)
_CHATS = ("messages", "tools", "tool_choice", "functions", "function_call", "top_logprobs")


def decode(body: bytes) -> Request:
    """Return the request that a completions body makes.

    Raises:
        BadJSON: The body is not JSON in UTF-8.
        Unsupported: It asks for what the gateway cannot express; `param` names it.
        InvalidRequest: A member has the wrong type or value; `param` is its JSON path.
    """
    ask = parse(body, _decoder)
    _refuse_what_chat_cannot_do(ask)
    rest = unknown(body, _OWN)
    for name in _CHATS:
        if bytes(rest.pop(name, Raw(b"null"))) != b"null":
            raise Unsupported(
                f"`$.{name}` is no member of a completion.",
                param=f"$.{name}",
                hint="Use chat completions.",
            )
    message = {"role": "user", "content": _prompt(ask.prompt)}
    chat: dict[str, object] = {**rest, "messages": [message]}
    if ask.logprobs is not None:
        chat |= {"logprobs": True, "top_logprobs": ask.logprobs}
    return chat_request.decode(_encoder.encode(chat))


def _refuse_what_chat_cannot_do(ask: CompletionsBody) -> None:
    refused = {
        "suffix": bool(ask.suffix),
        "echo": bool(ask.echo),
        "best_of": ask.best_of not in (None, 0, 1),
    }
    for name, is_asked in refused.items():
        if is_asked:
            raise Unsupported(f"`$.{name}` is not supported.", param=f"$.{name}")


def _prompt(prompt: str | list[str | int | list[int]]) -> str:
    if isinstance(prompt, list):
        if any(not isinstance(each, str) for each in prompt):
            raise Unsupported("`$.prompt`: tokens are not accepted, only text.", param="$.prompt")
        if len(prompt) > 1:
            raise Unsupported(
                "`$.prompt`: one prompt per request is answered.",
                param="$.prompt",
                hint="Send the prompts in requests of their own.",
            )
        prompt = str(prompt[0]) if prompt else ""
    if not prompt:
        raise invalid("$.prompt", "must not be empty")
    return prompt
