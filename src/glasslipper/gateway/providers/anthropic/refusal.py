"""Anthropic's errors, put into ours: what it said, the status, and how long to wait.

The words about a key that is not accepted are never repeated, for they may quote it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from glasslipper.gateway.providers.refusing import read_json, retry_after_s, sentence
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)

NAME = "Anthropic"
KEY_ENV = "ANTHROPIC_API_KEY"

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""What an error inside a stream would have had for an HTTP status."""

_CONTEXT_WORDS = re.compile(
    r"prompt is too long|exceeds? (the )?context (limit|window)|context (length|window) exceeded",
    re.IGNORECASE,
)


class Refusals:
    """Puts errors into words, without ever repeating the key."""

    def __init__(self, key: str | None) -> None:
        """Never repeat `key`."""
        self._key = key

    def of_reply(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes
    ) -> GlasslipperError:
        """Return the error for an answer whose HTTP status is not a success."""
        _kind, words = _said(read_json(body))
        return self._error(status, words, wait_s=retry_after_s(headers))

    def of_event(self, data: bytes) -> GlasslipperError:
        """Return the error for the data of an `error` event."""
        return self.of_error(read_json(data))

    def of_error(self, content: object) -> GlasslipperError:
        """Return the error for an error object inside an answer that began well."""
        kind, words = _said(content)
        status = _STATUSES.get(kind)
        if status is None:
            return UpstreamFailed(self._sentence("failed", words))
        return self._error(status, words, wait_s=None)

    def _error(self, status: int, words: str, *, wait_s: int | None) -> GlasslipperError:
        if status in (400, 413) and _CONTEXT_WORDS.search(words):
            return ContextTooLong(
                self._sentence("finds the prompt too long", words), param="$.messages"
            )
        if status == 429:
            return UpstreamRateLimited(
                self._sentence("asks for a pause", words), retry_after_s=wait_s
            )
        hint = None
        if status in (401, 403):
            words = ""
            hint = f"Whoever runs the gateway should check {KEY_ENV}."
        elif status == 402:
            hint = f"Whoever runs the gateway should look at the account with {NAME}."
        what = "is overloaded" if status == 529 else f"answered {status}"
        return UpstreamRefused(
            self._sentence(what, words), upstream_status=status, hint=hint, retry_after_s=wait_s
        )

    def _sentence(self, what: str, words: str) -> str:
        return sentence(NAME, what, words, key=self._key)


def _said(content: object) -> tuple[str, str]:
    """Return the type and the words of an error, bare or inside an error body."""
    if isinstance(content, str):
        return "", content
    if not isinstance(content, dict):
        return "", ""
    members = cast("dict[str, object]", content)
    inner = members.get("error")
    if isinstance(inner, dict | str):
        return _said(cast("object", inner))
    kind, words = members.get("type"), members.get("message")
    return (
        kind if isinstance(kind, str) else "",
        words if isinstance(words, str) else "",
    )
