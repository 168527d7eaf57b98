"""A provider's own errors, put into ours: what it said, its status, and how long to wait.

Errors come in many shapes; the words and the code are looked for in all of them. The provider's
key never appears in what is repeated, and of a page meant for people nothing is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from glasslipper.gateway.providers.refusing import read_json, retry_after_s, sentence
from glasslipper.gateway.providers.table import Provider
from glasslipper.kernel.errors import (
    ContextTooLong,
    GlasslipperError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)

MAX_LEVELS = 4
"""How deep in an answer its error may lie."""

_CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}
_CONTEXT_WORDS = re.compile(
    r"context (length|size|window)|prompt is too long|maximum prompt length|model token limit",
    re.IGNORECASE,
)
_CONTEXT_STATUSES = {400, 413, 422}
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}


class Said(Struct, frozen=True):
    """What could be made out of an error: its words, its codes, and a status if it names one."""

    words: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None


class Refusals:
    """Puts the errors of one provider into words."""

    def __init__(self, provider: Provider, key: str | None) -> None:
        """Speak of `provider`, and never repeat `key`."""
        self.name = provider.name
        self._key = key
        self._key_env = " or ".join(provider.key_env)

    def of_reply(
        self, status: int, headers: Mapping[bytes, bytes], body: bytes
    ) -> GlasslipperError:
        """Return the error for an answer whose HTTP status is not a success."""
        return self._error(_said(read_json(body)), status=status, wait_s=retry_after_s(headers))

    def of_event(self, data: bytes) -> GlasslipperError:
        """Return the error for the data of an `error` event in a stream."""
        return self.of_error(read_json(data))

    def of_error(self, content: object) -> GlasslipperError:
        """Return the error for an `error` member inside an answer that began well."""
        said = _said(content)
        if said.status is not None:
            return self._error(said, status=said.status, wait_s=None)
        if _is_about_context(said):
            return self._error(said, status=400, wait_s=None)
        return UpstreamFailed(self._sentence("failed", said.words))

    def _error(self, said: Said, *, status: int, wait_s: int | None) -> GlasslipperError:
        if status in _CONTEXT_STATUSES and _is_about_context(said):
            return ContextTooLong(
                self._sentence("finds the prompt too long", said.words), param="$.messages"
            )
        hint = None
        if status == 429 and not said.codes & _QUOTA_CODES:
            return UpstreamRateLimited(
                self._sentence("asks for a pause", said.words), retry_after_s=wait_s
            )
        if status == 401:
            # Such a message often quotes part of the key.
            said = Said()
            hint = f"Whoever runs the gateway should check {self._key_env or 'the key'}."
        elif status in (402, 429):
            hint = f"Whoever runs the gateway should look at the account with {self.name}."
        return UpstreamRefused(
            self._sentence(f"answered {status}", said.words),
            upstream_status=status,
            hint=hint,
            retry_after_s=wait_s,
        )

    def _sentence(self, what: str, words: str) -> str:
        return sentence(self.name, what, words, key=self._key)


def _is_about_context(said: Said) -> bool:
    return bool(said.codes & _CONTEXT_CODES or _CONTEXT_WORDS.search(said.words))


def _said(content: object) -> Said:
    """Find the words and codes in an error of any of the usual shapes."""
    for _level in range(MAX_LEVELS):
        if isinstance(content, list) and content:
            content = cast("list[object]", content)[0]
        if not isinstance(content, dict):
            return Said(words=content if isinstance(content, str) else "")
        members = cast("dict[object, object]", content)
        inner = members.get("error") or members.get("detail")
        if not isinstance(inner, dict | list | str):
            return _read(members)
        content = cast("object", inner)
    return Said()


def _read(members: dict[object, object]) -> Said:
    words = members.get("message") or members.get("msg")
    codes = [members.get(name) for name in ("code", "type")]
    return Said(
        words=words if isinstance(words, str) else "",
        codes=frozenset(code for code in codes if isinstance(code, str)),
        status=next((code for code in codes if type(code) is int and 400 <= code < 600), None),
    )
