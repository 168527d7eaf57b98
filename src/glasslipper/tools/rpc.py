"""JSON-RPC 2.0 as MCP uses it: requests, notifications, and the replies to either side."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from glasslipper.kernel.errors import UpstreamFailed, UpstreamRefused

PROTOCOL = "2025-11-25"
"""The revision that is asked for; a server may answer with an older one."""

KNOWN = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})

METHOD_NOT_FOUND = -32601


class Fault(Struct):
    """What went wrong, in the other side's words."""

    code: int
    message: str = ""


class Incoming(Struct):
    """Anything that the other side sends: a reply has no method, a notification no id."""

    jsonrpc: str = "2.0"
    id: int | str | None = None
    method: str | None = None
    result: Raw = Raw()
    error: Fault | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Incoming)


def request(number: int | None, method: str, params: Mapping[str, object] | None) -> bytes:
    """Return a request, or a notification if it has no number, on one line."""
    body: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    if number is not None:
        body["id"] = number
    if params is not None:
        body["params"] = params
    return _encoder.encode(body)


def answer_to(asked: Incoming) -> bytes | None:
    """Return the reply to what the server asks of us; nothing if it wants none."""
    if asked.method is None or asked.id is None:
        return None
    body: dict[str, object] = {"jsonrpc": "2.0", "id": asked.id}
    if asked.method == "ping":
        body["result"] = {}
    else:
        body["error"] = {"code": METHOD_NOT_FOUND, "message": "Only tools are used here."}
    return _encoder.encode(body)


def decode(line: bytes) -> Incoming:
    """Return what the other side sent.

    Raises:
        UpstreamFailed: It is not JSON-RPC.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamFailed(f"The tool server does not speak MCP: {error}.") from None


def result_of(reply: Incoming) -> Raw:
    """Return a reply's result.

    Raises:
        UpstreamRefused: It is an error instead.
    """
    if reply.error is not None:
        raise UpstreamRefused(
            f"The tool server refused: {reply.error.message[:500]}", upstream_status=400
        )
    return reply.result if bytes(reply.result) else Raw(b"{}")
