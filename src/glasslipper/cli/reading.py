"""Turns a part of an admin API's answer into a type."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from glasslipper.cli.refusal import Refusal

T = TypeVar("T")


def read_answer(answer: object, kind: type[T], *, member: str = "data") -> T:
    """Return a member of an answer as `kind`.

    Raises:
        Refusal: It is something else.
    """
    found = cast("dict[str, object]", answer).get(member) if isinstance(answer, dict) else None
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise Refusal(
            f"The server's answer cannot be understood: {error}.",
            code="unexpected_answer",
            hint="Is the server of the same version as this command?",
        ) from error
