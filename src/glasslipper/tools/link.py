"""What a connection to a server offers, whatever it runs over, and the words of its replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from glasslipper.kernel.errors import UpstreamFailed
from glasslipper.kernel.ports import ToolResult
from glasslipper.tools.rpc import KNOWN, PROTOCOL

_T = TypeVar("_T")

MOST_TOOLS = 1_000
MOST_RESULT_BYTES = 1 << 20
"""What a tool gives beyond this is cut off."""


class Link(Protocol):
    """An open connection."""

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> Raw:
        """Send a request and return its result.

        Raises:
            UpstreamFailed: The server did not do its part.
        """
        ...

    async def tell(self, method: str) -> None:
        """Send a notification."""
        ...

    async def close(self) -> None:
        """End it, and what was started for it."""
        ...


class Server(Protocol):
    """Where a server is, and how to reach it."""

    def link(self) -> Link:
        """Return a new connection, which opens when it is first used."""
        ...


class Described(Struct, frozen=True, kw_only=True):
    """A tool as its server describes it. `schema` is the JSON Schema of its arguments."""

    name: str
    title: str | None = None
    description: str = ""
    schema: Mapping[str, object] = field(name="inputSchema", default_factory=dict[str, object])
    returns: Mapping[str, object] | None = field(name="outputSchema", default=None)
    hints: Mapping[str, object] | None = field(name="annotations", default=None)


class _Page(Struct):
    tools: list[Described] = []
    next: str | None = field(name="nextCursor", default=None)


class _Hello(Struct):
    version: str = field(name="protocolVersion", default="")


class _Content(Struct):
    type: str = "text"
    text: str = ""
    uri: str = ""


class _Called(Struct):
    content: list[_Content] = []
    value: object = field(name="structuredContent", default=None)
    failed: bool = field(name="isError", default=False)


Ask = Callable[[str, Mapping[str, object] | None], Awaitable[Raw]]


async def greet(ask: Ask, tell: Callable[[str], Awaitable[None]]) -> str:
    """Agree on a revision of the protocol and return it.

    Raises:
        UpstreamFailed: The server wants one that is not known here.
    """
    params = {
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "glasslipper", "version": "1"},
    }
    hello = _read(await ask("initialize", params), _Hello)
    if hello.version not in KNOWN:
        raise UpstreamFailed(f"The tool server speaks MCP {hello.version!r}, which is not known.")
    await tell("notifications/initialized")
    return hello.version


async def tools_of(link: Link) -> list[Described]:
    """Return all tools of a server, page by page.

    Raises:
        UpstreamFailed: There is no end to them, or two have one name.
    """
    found: dict[str, Described] = {}
    cursor: str | None = None
    for _ in range(MOST_TOOLS):
        page = _read(await link.ask("tools/list", {"cursor": cursor} if cursor else {}), _Page)
        for tool in page.tools:
            if tool.name in found or len(found) >= MOST_TOOLS:
                raise UpstreamFailed(f"The tool server lists {tool.name!r} twice, or too many.")
            found[tool.name] = tool
        cursor = page.next
        if not cursor:
            return list(found.values())
    raise UpstreamFailed("The tool server's list of tools has no end.")


async def call(link: Link, name: str, arguments: Mapping[str, object]) -> ToolResult:
    """Call a tool; that it failed is a result, not an error."""
    given = await link.ask("tools/call", {"name": name, "arguments": arguments})
    said = _read(given, _Called)
    text = "\n".join(_words(part) for part in said.content)
    cut = text.encode("utf-8", "replace")[:MOST_RESULT_BYTES].decode("utf-8", "ignore")
    return ToolResult(text=cut, value=said.value, failed=said.failed)


def _words(part: _Content) -> str:
    if part.type == "text":
        return part.text
    return f"[{part.type}{': ' + part.uri if part.uri else ''}]"


def _read(raw: Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamFailed(f"The tool server's reply makes no sense: {error}.") from None
