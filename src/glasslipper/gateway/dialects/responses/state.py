"""What is kept of a response so that it can be continued, and how it is continued.

Pure: where it is kept, for whom and how long is not known here. What is kept is the conversation
up to and with the answer, item by item, without the instructions, which belong to one request
only. A client continues it by naming the response, or by naming items that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import DecodeError, Raw, Struct, structs
from msgspec.json import Decoder

from glasslipper.gateway.dialects.body import invalid
from glasslipper.gateway.dialects.responses import wire
from glasslipper.gateway.dialects.responses.ids import response_of
from glasslipper.gateway.dialects.responses.items import Fragment, Reference, fragments_of
from glasslipper.gateway.dialects.responses.request import Ask, messages_of
from glasslipper.kernel.messages import Message

VERSION = 1


class KeptItem(Struct, frozen=True):
    """An item of an answer, and its id."""

    id: str
    message: Message


class Kept(Struct, frozen=True, kw_only=True):
    """A response as it is kept.

    `history` is what was said before the answer, `answer` the items of the answer and `response`
    the response object itself, as it was told.
    """

    history: tuple[Message, ...]
    answer: tuple[KeptItem, ...]
    response: Raw
    version: int = VERSION

    def encode(self) -> bytes:
        """Return it as bytes; `restore` reads them."""
        return msgspec.json.encode(self)


class _Given(Struct, frozen=True):
    """What is read of a response object."""

    output: list[wire.Item]


_kept = Decoder(Kept)
_given = Decoder(_Given)


def needs(ask: Ask) -> tuple[str, ...]:
    """Return the ids of the responses that must be known before the request can be made."""
    previous = ask.echo.previous_response_id
    named = [] if previous is None else [previous]
    for fragment in ask.input:
        if isinstance(fragment, Reference):
            response = response_of(fragment.id)
            named += [] if response is None else [response]
    return tuple(dict.fromkeys(named))


def resume(ask: Ask, kept: Mapping[str, Kept]) -> Ask:
    """Return the request with all that it continues, from the responses that it `needs`.

    Every request goes through here, for one that needs nothing may still name what never was.

    Raises:
        InvalidRequest: It names a response or an item that is not among them.
    """
    history: tuple[Message, ...] = ()
    previous = ask.echo.previous_response_id
    if previous is not None:
        found = kept.get(previous)
        if found is None:
            raise invalid("$.previous_response_id", "no such response is kept")
        history = (*found.history, *(item.message for item in found.answer))
    given = tuple(_resolved(fragment, kept) for fragment in ask.input)
    messages = messages_of(ask.echo.instructions, [*history, *given])
    if not messages:
        raise invalid("$.input", "is required")
    return structs.replace(
        ask,
        request=structs.replace(ask.request, messages=messages),
        input=given,
        history=history,
    )


def keep(ask: Ask, response: bytes) -> Kept:
    """Return what to keep of a response that was told, so that it can be continued.

    `ask` has been through `resume`, if it needed anything; `response` is the response object.
    """
    output = _given.decode(response).output
    answer = [
        KeptItem(item.id or "", fragment)
        for item, fragment in zip(output, fragments_of(output, "$.output"), strict=True)
        if isinstance(fragment, Message)
    ]
    given = (fragment for fragment in ask.input if isinstance(fragment, Message))
    return Kept(history=(*ask.history, *given), answer=tuple(answer), response=Raw(response))


def restore(kept: bytes) -> Kept:
    """Return what was kept.

    Raises:
        ValueError: The bytes are no kept response, or one of a later version.
    """
    try:
        restored = _kept.decode(kept)
    except (DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"no kept response: {error}") from None
    if restored.version > VERSION:
        raise ValueError(f"kept by a later version ({restored.version})")
    return restored


def _resolved(fragment: Fragment, kept: Mapping[str, Kept]) -> Message:
    if isinstance(fragment, Message):
        return fragment
    found = kept.get(response_of(fragment.id) or "")
    for item in found.answer if found else ():
        if item.id == fragment.id:
            return item.message
    raise invalid(fragment.path, "no such item is kept")
