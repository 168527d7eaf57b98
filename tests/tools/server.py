"""A tool server written with the official SDK: `server.py stdio` or `server.py http PORT`.

The variable DESCRIPTION changes how its first tool describes itself.
"""

import os
import sys
import time

from mcp.server import MCPServer

server = MCPServer("for tests", log_level="ERROR")


@server.tool(description=os.environ.get("DESCRIPTION", "Add two numbers."))
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
def environment() -> str:
    """Tell the names of all variables."""
    return " ".join(sorted(os.environ))


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("on purpose")


@server.tool()
def slow(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "done"


@server.tool()
def die() -> str:
    """End the whole server."""
    os._exit(3)


@server.tool()
def much(size: int) -> str:
    """Give a lot."""
    return "é" * size


if os.environ.get("MORE"):

    @server.tool()
    def extra() -> str:
        """Be new."""
        return "new"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
