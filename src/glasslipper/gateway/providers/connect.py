"""Builds the codec that speaks a provider's language. Knows which row takes which, and no model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from glasslipper.gateway.providers.anthropic import Anthropic
from glasslipper.gateway.providers.gemini import Gemini
from glasslipper.gateway.providers.openai import OpenAICompatible
from glasslipper.gateway.providers.table import Provider
from glasslipper.gateway.transport import Timeouts, Transport
from glasslipper.kernel.errors import SetupMissing
from glasslipper.kernel.messages import Request
from glasslipper.kernel.ports import Embedder, Upstream


class Connector:
    """Connects to providers through one transport."""

    def __init__(
        self, transport: Transport, timeouts: Timeouts, environ: Mapping[str, str]
    ) -> None:
        """Reach each provider where `environ` says, or else where its row does."""
        self._environ = environ
        self._max_tokens: dict[str, int] = {}
        self._transport = transport
        self._timeouts = timeouts

    def note_limits(self, max_tokens: Mapping[str, int]) -> None:
        """Know how long answers may be, by upstream model, for those that must be told."""
        self._max_tokens.update(max_tokens)

    def connect(
        self, provider: Provider, *, key: str | None, base_url: str | None = None
    ) -> Upstream:
        """Return what calls a provider with a key, at `base_url` if that is not its usual one.

        Raises:
            SetupMissing: It needs a key, or the key cannot be sent in a header.
            InvalidRequest: The base URL is none.
        """
        address = base_url or provider.address(self._environ)
        match provider.speaks:
            case "messages":
                return Anthropic(
                    self._transport,
                    key=key,
                    base_url=address,
                    timeouts=self._timeouts,
                    max_tokens=self._max_tokens,
                )
            case "gemini":
                if key is None:
                    raise SetupMissing(f"{provider.name} needs a key.")
                return Gemini(self._transport, key=key, base_url=address, timeouts=self._timeouts)
            case "chat":
                return OpenAICompatible(
                    self._transport, provider, key=key, base_url=address, timeouts=self._timeouts
                )


def embedder_of(upstream: Upstream) -> Embedder | None:
    """Return what embeds at the same place with the same key, if anything does."""
    return upstream if isinstance(upstream, OpenAICompatible | Gemini) else None


def counter_of(
    upstream: Upstream, upstream_model: str
) -> Callable[[Request], Awaitable[int]] | None:
    """Return what counts a prompt's tokens at the same place, if anything does."""
    if isinstance(upstream, Anthropic | Gemini):
        return partial(upstream.count, upstream_model=upstream_model)
    return None
