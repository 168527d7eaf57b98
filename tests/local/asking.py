"""The few words that tests of local models say again and again."""

from __future__ import annotations

from typing import Any

from glasslipper.kernel.events import Answer, Folder
from glasslipper.kernel.messages import Message, Request, Role, Sampling, TextPart, Tool
from glasslipper.kernel.ports import Attempted
from glasslipper.kernel.usage import Usage
from glasslipper.local import LocalModels

SMOL = "local/smol"

WEATHER = Tool(
    name="get_weather",
    description="Tell the weather in a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"enum": [1, 2, 3]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
)
CLOCK = Tool(name="what_time", parameters={"type": "object", "additionalProperties": False})


def said(text: str, role: Role = "user") -> Message:
    return Message(role=role, parts=(TextPart(text=text),))


def asked(text: str | tuple[Message, ...], **fields: Any) -> Request:
    """Return a request that always gets the same answer, of 12 tokens or what `fields` say."""
    messages = (said(text),) if isinstance(text, str) else text
    sampling = {"temperature": 0, "seed": 1, "max_tokens": 12} | fields.pop("sampling", {})
    return Request(model=SMOL, messages=messages, sampling=Sampling(**sampling), **fields)


def attempted(request: Request, model: str = SMOL) -> Attempted:
    return Attempted(id="att-1", request=request, upstream_model=model)


async def answered(models: LocalModels, request: Request, model: str = SMOL) -> Answer:
    """Return the whole answer."""
    folder = Folder()
    async for event in models.send(attempted(request, model)):
        folder.add(event)
    return folder.answer()


def used(attempt: Attempted) -> Usage:
    """Return what the attempt used, which must be known."""
    assert attempt.usage is not None
    return attempt.usage
