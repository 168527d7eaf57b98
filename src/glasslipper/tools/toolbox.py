"""The tools of all servers under one roof: `server.tool`, governed, pinned, then called."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import cast

from msgspec import Struct

from glasslipper.kernel.errors import InvalidRequest, NotFound, NotPermitted
from glasslipper.kernel.ports import ToolResult
from glasslipper.tools import link as links
from glasslipper.tools.link import Described, Link, Server
from glasslipper.tools.pins import Pins, State

_log = logging.getLogger(__name__)

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list, tuple),
    "null": (type(None),),
}


class Rules(Struct, frozen=True, kw_only=True):
    """Globs of the names that may and may not be called; a denial wins."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()

    def permit(self, name: str) -> bool:
        """Whether a tool may be called."""
        if any(fnmatchcase(name, glob) for glob in self.deny):
            return False
        return any(fnmatchcase(name, glob) for glob in self.allow)


class Listed(Struct, frozen=True, kw_only=True):
    """A tool under its full name, whether it is what was approved, and may be called."""

    name: str
    tool: Described
    state: State
    permitted: bool

    @property
    def usable(self) -> bool:
        """Whether it would be called."""
        return self.permitted and self.state == "approved"

    @property
    def line(self) -> str:
        """What a model is told: name, arguments, and the first line of what it is for."""
        arguments = ", ".join(_mapping(self.tool.schema.get("properties")))
        about = self.tool.description.strip().splitlines()[:1]
        return f"{self.name}({arguments}): {''.join(about)}"


class Toolbox:
    """A `kernel.ports.Tools` over any number of MCP servers. Close it."""

    def __init__(
        self, servers: Mapping[str, Server], *, pins: Pins, rules: Rules | None = None
    ) -> None:
        """Use servers by the names that are given to them here, which have no dot."""
        wrong = [name for name in servers if not name or "." in name]
        if wrong:
            raise InvalidRequest(f"{wrong[0]!r} is no name for a tool server.")
        self._links: dict[str, Link] = {name: server.link() for name, server in servers.items()}
        self._known: dict[str, dict[str, Described]] = {}
        self._pins = pins
        self._rules = rules or Rules()
        self._looking = {name: asyncio.Lock() for name in servers}

    async def list(self) -> list[Listed]:
        """Ask every server for its tools, all at once; one that fails keeps no other's away.

        Raises:
            GlasslipperError: None of them could say; the error of the first.
        """
        told = await asyncio.gather(*map(self._look, self._links), return_exceptions=True)
        failures = [one for one in told if isinstance(one, BaseException)]
        if failures and len(failures) == len(told):
            raise failures[0]
        found: list[Listed] = []
        for server, tools in zip(self._links, told, strict=True):
            if isinstance(tools, BaseException):
                _log.warning("the tool server %s has no tools to tell of: %s", server, tools)
                continue
            for tool in tools.values():
                name = f"{server}.{tool.name}"
                found.append(
                    Listed(
                        name=name,
                        tool=tool,
                        state=self._pins.state(server, tool),
                        permitted=self._rules.permit(name),
                    )
                )
        return found

    async def approve(self, name: str) -> None:
        """Approve a tool as it is described now.

        Raises:
            NotFound: There is no such tool.
        """
        server, tool = await self._find(name, anew=True)
        self._pins.approve(server, tool)

    async def call(self, name: str, arguments: Mapping[str, object]) -> ToolResult:
        """Call a tool; see `kernel.ports.Tools`."""
        if not self._rules.permit(name):
            raise NotPermitted(f"{name} may not be called.", hint="The rules for tools deny it.")
        # Asked anew each time: what counts is what the server says now, not when we began.
        server, tool = await self._find(name, anew=True)
        state = self._pins.state(server, tool)
        if state != "approved":
            what = "is new" if state == "new" else "is not what was approved"
            raise NotPermitted(
                f"{name} {what}: its description or schema must be looked at first.",
                hint=f"Compare it, then approve {name}.",
            )
        check(arguments, tool.schema)
        return await links.call(self._links[server], tool.name, arguments)

    async def close(self) -> None:
        """End all connections."""
        for link in self._links.values():
            await link.close()

    async def _find(self, name: str, *, anew: bool) -> tuple[str, Described]:
        server, _, rest = name.partition(".")
        if server not in self._links:
            raise NotFound(
                f"There is no tool {name!r}.",
                hint=f"There are tools of {', '.join(self._links) or 'no server'}.",
            )
        tools = await self._look(server) if anew or server not in self._known else {}
        tool = (tools or self._known[server]).get(rest)
        if tool is None:
            raise NotFound(f"There is no tool {name!r}.", hint="List the tools of its server.")
        return server, tool

    async def _look(self, server: str) -> dict[str, Described]:
        async with self._looking[server]:
            tools = await links.tools_of(self._links[server])
            self._pins.meet(server, tools)
            self._known[server] = {tool.name: tool for tool in tools}
            return self._known[server]


def check(arguments: Mapping[str, object], schema: Mapping[str, object]) -> None:
    """Check names and plain types of arguments; the server checks the rest.

    Raises:
        InvalidRequest: One is missing, unknown or of the wrong type; `param` says which.
    """
    properties = _mapping(schema.get("properties"))
    required = schema.get("required")
    for name in cast("list[str]", required) if isinstance(required, list) else []:
        if name not in arguments:
            raise InvalidRequest(f"The argument {name!r} is missing.", param=f"$.{name}")
    for name, value in arguments.items():
        if name not in properties:
            if schema.get("additionalProperties") is False:
                raise InvalidRequest(f"There is no argument {name!r}.", param=f"$.{name}")
            continue
        kind = _mapping(properties[name]).get("type")
        wanted = _TYPES.get(kind) if isinstance(kind, str) else None
        is_bool = isinstance(value, bool) and kind in ("integer", "number")
        if wanted is not None and (is_bool or not isinstance(value, wanted)):
            raise InvalidRequest(f"{name!r} must be of type {kind}.", param=f"$.{name}")


def _mapping(value: object) -> Mapping[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
