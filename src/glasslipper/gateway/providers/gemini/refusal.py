"""Google's own errors, put into ours: what it said, its status, and how long to wait.

A key that Google does not accept and a place that it does not serve come as status 400 and are
not the client's fault. The key never appears in what is repeated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import cast

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from glasslipper.gateway.providers.refusing import MAX_RETRY_AFTER_S, sentence
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)

NAME = "Google"

_CONTEXT_WORDS = re.compile(
    r"input token count.*exceeds|maximum number of tokens|context (length|size|window)",
    re.IGNORECASE | re.DOTALL,
)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_KEY_HINT = "Whoever runs the gateway should check GEMINI_API_KEY."
_ACCOUNT_HINT = "Whoever runs the gateway should look at the account with Google."


class _Error(Struct, frozen=True):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[dict[str, object]] | None = None


class _Body(Struct, frozen=True):
    error: _Error


_body = Decoder(_Body)
_bodies = Decoder(list[_Body])


class Refusals:
    """Puts Google's errors into words, and never repeats `key`."""

    def __init__(self, key: str) -> None:
        """Keep `key` out of everything that is said."""
        self._key = key

    def of_reply(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes
    ) -> GlasslipperError:
        """Return the error for an answer whose HTTP status is not a success."""
        said = _read(body)
        wait_s = _wait_s(said.details or []) or _seconds(headers.get(b"retry-after", b""))
        return self._error(said, status=status, wait_s=wait_s)

    def of_error(self, content: object) -> GlasslipperError:
        """Return the error for an `error` member inside an answer that began well."""
        try:
            said = msgspec.convert(content, _Error)
        except msgspec.ValidationError:
            said = _Error(message=content if isinstance(content, str) else None)
        wait_s = _wait_s(said.details or [])
        if said.code is not None and 400 <= said.code < 600:
            return self._error(said, status=said.code, wait_s=wait_s)
        return UpstreamFailed(self._sentence("failed", said.message), retry_after_s=wait_s)

    def _error(self, said: _Error, *, status: int, wait_s: int | None) -> GlasslipperError:
        if status in (400, 413) and _CONTEXT_WORDS.search(said.message or ""):
            return ContextTooLong(
                self._sentence("finds the prompt too long", said.message), param="$.messages"
            )
        if status == 429:
            return UpstreamRateLimited(
                self._sentence("asks for a pause", said.message), retry_after_s=wait_s
            )
        if status == 401 or _is_about_the_key(said):
            # Such a message may quote part of the key.
            return UpstreamRefused(
                self._sentence("does not accept the key", None),
                upstream_status=401,
                hint=_KEY_HINT,
            )
        if status == 400 and said.status == "FAILED_PRECONDITION":
            return UpstreamRefused(
                self._sentence("does not serve this account", said.message),
                upstream_status=403,
                hint=_ACCOUNT_HINT,
            )
        return UpstreamRefused(
            self._sentence(f"answered {status}", said.message),
            upstream_status=status,
            hint=_ACCOUNT_HINT if status in (402, 403) else None,
            retry_after_s=wait_s,
        )

    def _sentence(self, what: str, words: str | None) -> str:
        return sentence(NAME, what, words or "", key=self._key)


def _read(body: bytes) -> _Error:
    """Return the error in a body; streams that are arrays have it as their only item."""
    try:
        if body.lstrip()[:1] == b"[":
            return next((each.error for each in _bodies.decode(body)), _Error())
        return _body.decode(body).error
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _Error()


def _is_about_the_key(said: _Error) -> bool:
    return any(
        str(detail.get("reason")) in ("API_KEY_INVALID", "API_KEY_EXPIRED")
        for detail in said.details or ()
    ) or "API key not valid" in (said.message or "")


def _wait_s(details: list[dict[str, object]]) -> int | None:
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, dict):
            delay = f"{cast('dict[str, object]', delay).get('seconds')}s"
        found = _DURATION.fullmatch(delay) if isinstance(delay, str) else None
        if found:
            return _bounded(float(found[1]))
    return None


def _seconds(header: bytes) -> int | None:
    found = _DURATION.fullmatch(header.decode("latin-1").strip() + "s")
    return _bounded(float(found[1])) if found else None


def _bounded(wait_s: float) -> int:
    return math.ceil(min(wait_s, MAX_RETRY_AFTER_S))
