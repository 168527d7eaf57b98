"""Tools of MCP servers: called by name, pinned as they were approved, and governed by globs.

`Toolbox` is the port `kernel.ports.Tools`. A server is a command (stdio) or an address
(streamable HTTP). What a server says about its own tools is not trusted: a tool whose description
or schema has changed since it was approved is not called, and its hints decide nothing. Speaks
the part of the protocol that calls tools; resources, prompts and sampling are not here.
"""

from __future__ import annotations

from glasslipper.tools.link import Described
from glasslipper.tools.pins import Pins, State
from glasslipper.tools.stdio import StdioServer
from glasslipper.tools.toolbox import Listed, Rules, Toolbox
from glasslipper.tools.web import WebServer

__all__ = ["Described", "Listed", "Pins", "Rules", "State", "StdioServer", "Toolbox", "WebServer"]
