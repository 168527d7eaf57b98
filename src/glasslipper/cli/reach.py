"""Whom a command talks to: the server it is told, one that runs on this home, or the bare store.

The key of this home is shown only to servers that left their address in this home.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from glasslipper.cli.client import Server
from glasslipper.cli.servers import ADMIN_KEY, running
from glasslipper.kernel.errors import SetupMissing
from glasslipper.store import places


class AdminApi(Protocol):
    """The admin API, whoever answers."""

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Return the JSON that is answered below `/api/v1`.

        Raises:
            Refusal: The answer is an error.
        """
        ...


@contextmanager
def admin_api(url: str | None, key: str | None) -> Generator[AdminApi]:
    """Open the admin API of the server at `url`, or of this machine's home.

    Raises:
        SetupMissing: Nothing answers at `url`.
        StoreFailed: No server runs, and the store cannot be opened.
    """
    server = find_server(url, key)
    if server is not None:
        yield server
        return
    from glasslipper.cli.unserved import Unserved

    with Unserved(places.home()) as store:
        yield store


def find_server(url: str | None, key: str | None) -> Server | None:
    """Return the server at `url`, else the youngest that runs on this home, if any."""
    home = places.home()
    if url:
        return Server(url, key or _own_key_for(home, url))
    for note in running(home):
        return Server(note.url, key or _own_key(home))
    return None


def require_server(url: str | None, key: str | None) -> Server:
    """Return the server, as `find_server` does.

    Raises:
        SetupMissing: There is none.
    """
    server = find_server(url, key)
    if server is None:
        raise SetupMissing(
            "No server is running.", hint="Start one with `glasslipper up`, in another terminal."
        )
    return server


def _own_key_for(home: Path, url: str) -> str | None:
    address = Server(url, None).url
    is_ours = any(Server(note.url, None).url == address for note in running(home))
    return _own_key(home) if is_ours else None


def _own_key(home: Path) -> str | None:
    try:
        return (home / ADMIN_KEY).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupMissing(
            f"{home / ADMIN_KEY} cannot be read.",
            hint="Run as the user who started the server, or give a key with --key.",
        ) from error
