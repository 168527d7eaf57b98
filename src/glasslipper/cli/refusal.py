"""An error that arrived as words: what a server answered, in the shape of the chat dialect."""

from __future__ import annotations

import json
from typing import cast

from glasslipper.kernel.errors import GlasslipperError


class Refusal(GlasslipperError):
    """An error whose slug is known only now: `code`."""

    def __init__(
        self, message: str, *, code: str, hint: str = "", param: str | None = None
    ) -> None:
        """Repeat a sentence and the hint that goes with it."""
        super().__init__(message, hint=hint, param=param)
        self.code = code


def refusal(status: int, body: bytes) -> Refusal:
    """Return the error that an HTTP answer tells of, whoever wrote it."""
    try:
        answer: object = json.loads(body)
    except ValueError:
        answer = None
    told = _member(answer, "error")
    if told is None:
        return Refusal(
            f"The server answers with status {status}.",
            code="unexpected_answer",
            hint="Is this the address of a Glasslipper server?",
        )
    return refusal_told(told)


def refusal_told(told: object) -> Refusal:
    """Return the error that an error object tells of."""
    message = _text(told, "message") or "The server gives no reason."
    hint = _text(_member(told, "metadata"), "hint")
    return Refusal(
        message.removesuffix(hint).rstrip(),
        code=_text(told, "code") or "unexpected_answer",
        hint=hint,
        param=_text(told, "param") or None,
    )


def _member(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _text(value: object, name: str) -> str:
    found = _member(value, name)
    return found if isinstance(found, str) else ""
