"""What was approved: the fingerprint of each tool as it was described then, in one file.

All tools of a server are pinned as they are when it is first seen, since its user has just named
it. Later, a tool that is new there or has changed waits for approval.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, field

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.tools.link import Described

State = Literal["approved", "changed", "new"]

VERSION = 1


class _File(Struct):
    v: int = VERSION
    servers: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


class Pins:
    """The fingerprints, and the file that they are in."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it is there.

        Raises:
            InvalidRequest: It is damaged, or from a newer version.
        """
        self._path = path
        self._file = _File()
        if path.is_file():
            try:
                self._file = msgspec.json.decode(path.read_bytes(), type=_File)
            except msgspec.DecodeError as error:
                raise InvalidRequest(f"{path} is damaged: {error}.") from None
        if self._file.v > VERSION:
            raise InvalidRequest(f"{path} was written by a newer version.")

    def meet(self, server: str, tools: Sequence[Described]) -> None:
        """Pin all tools of a server that has never been seen."""
        if server not in self._file.servers:
            self._file.servers[server] = {tool.name: fingerprint(tool) for tool in tools}
            self._save()

    def state(self, server: str, tool: Described) -> State:
        """Return whether a tool is what was approved."""
        known = self._file.servers.get(server, {}).get(tool.name)
        if known is None:
            return "new"
        return "approved" if known == fingerprint(tool) else "changed"

    def approve(self, server: str, tool: Described) -> None:
        """Pin a tool as it is now."""
        self._file.servers.setdefault(server, {})[tool.name] = fingerprint(tool)
        self._save()

    def forget(self, server: str) -> None:
        """Know nothing of a server any more."""
        if self._file.servers.pop(server, None) is not None:
            self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(file, msgspec.json.encode(self._file))
            os.fsync(file)
        finally:
            os.close(file)
        new.replace(self._path)


def fingerprint(tool: Described) -> str:
    """Return the SHA-256 of all that a model or a user is told about a tool."""
    told = [tool.name, tool.title, tool.description, tool.schema, tool.returns, tool.hints]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()
