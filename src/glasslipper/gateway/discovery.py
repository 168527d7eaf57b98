"""Finds the model servers that run on this machine, and those whose address the environment says.

Each is asked once for its list of models, with little patience. Whoever was not named by the user
is never shown a key, and is believed only that it has these models. Offers nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import msgspec
from msgspec import Struct, field

from glasslipper.gateway.providers.table import PROVIDERS, Provider
from glasslipper.gateway.transport import Origin, Timeouts, Transport
from glasslipper.gateway.transport.dial import Proxy
from glasslipper.kernel.errors import (
    GlasslipperError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

PATIENCE_S = 0.3
NAMED_PATIENCE_S = 3.0
MAX_LIST_BYTES = 1 << 20
MOST_MODELS = 500
MOST_LETTERS = 180
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Found(Struct, frozen=True, kw_only=True):
    """A server and its models, by id and by what it calls them; `None` if it did not say."""

    provider: Provider
    base_url: str
    key: str | None
    models: Mapping[str, str] | None


class _Model(Struct):
    id: str
    price_source: object = None


class _List(Struct):
    data: list[_Model] | None = field(default_factory=list[_Model])
    object: str = ""


_lists = msgspec.json.Decoder(_List)


async def find(
    transport: Transport,
    environ: Mapping[str, str],
    *,
    beyond_named: bool,
    not_ports: Collection[int] = (),
) -> list[Found]:
    """Ask every server that there may be for its models.

    Args:
        transport: The way there.
        environ: It may say where a server is, and hold its key.
        beyond_named: Look on this machine too, at each kind of server's usual port.
        not_ports: Ports of this machine that are not asked: our own.
    """
    asked = [_ask(transport, row, environ, not_ports) for row in _servers(environ, beyond_named)]
    return list(await asyncio.gather(*asked))


def _servers(environ: Mapping[str, str], beyond_named: bool) -> list[Provider]:
    rows = [row for row in PROVIDERS if row.is_local and row.address(environ)]
    return [row for row in rows if beyond_named or _is_named(row, environ)]


def _is_named(row: Provider, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(row.base_url_env, "").strip())


async def _ask(
    transport: Transport, row: Provider, environ: Mapping[str, str], not_ports: Collection[int]
) -> Found:
    base_url, is_named = row.address(environ), _is_named(row, environ)
    key = row.key(environ) if is_named else None
    patience_s = NAMED_PATIENCE_S if is_named else PATIENCE_S
    models: Mapping[str, str] | None
    try:
        async with asyncio.timeout(2 * patience_s):
            models = await _models(transport, row, base_url, key, patience_s, not_ports)
    except (TimeoutError, UpstreamTimeout):
        models = None
    except GlasslipperError:
        models = {}
    return Found(provider=row, base_url=base_url, key=key, models=models)


async def _models(
    transport: Transport,
    row: Provider,
    base_url: str,
    key: str | None,
    patience_s: float,
    not_ports: Collection[int],
) -> Mapping[str, str]:
    origin, path = Origin.parse(base_url)
    if origin.host in LOOPBACK and (origin.port in not_ports or Proxy.of(origin) is not None):
        raise UpstreamUnreachable("there is nothing of the kind that this process could reach")
    headers = [(b"accept", b"application/json"), (b"accept-encoding", b"identity")]
    if key is not None and key.isascii() and key.isprintable():
        headers.append((b"authorization", b"Bearer " + key.encode("ascii")))
    timeouts = Timeouts(connect_s=patience_s, first_byte_s=patience_s, between_bytes_s=patience_s)
    reply = await transport.send(
        origin, b"GET", f"{path}/models".encode("ascii"), headers, b"", timeouts=timeouts
    )
    try:
        body = await reply.read(limit_bytes=MAX_LIST_BYTES) if reply.status == 200 else b""
    finally:
        reply.close()
    return read_list(body, row.slug)


def read_list(body: bytes, slug: str) -> Mapping[str, str]:
    """Return the models of a server's answer: what we call them, and what it does.

    What is no list of models has none, nor has the list of another Glasslipper: two that offered
    each other's models would never come to an end.
    """
    try:
        answer = _lists.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    entries = answer.data or []
    if answer.object != "list" or any(entry.price_source is not None for entry in entries):
        return {}
    names = [entry.id for entry in entries[:MOST_MODELS]]
    return {f"{slug}/{_short(name)}": name for name in names if _is_usable(name)}


def _is_usable(name: str) -> bool:
    return 0 < len(name) <= MOST_LETTERS and name.isprintable() and " " not in name


def _short(name: str) -> str:
    """Return a file's own name where a server calls its model by the path of a file."""
    return PurePosixPath(name).name if name.startswith("/") else name
