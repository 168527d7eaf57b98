"""What a request is like, without its words: turns, tools, and a fingerprint of its system prompt.

The fingerprint is salted with a secret of this installation, so that nobody can tell from the
ledger whether a prompt that they know was used. It leaves digits out and looks at the beginning
only: the same prompt with another date in it, or other documents behind it, is the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from glasslipper.kernel.messages import Request

SALT_FILE = "salt"
PRINTED_LETTERS = 1_000

_NO_DIGITS = str.maketrans("", "", "0123456789")


class Likeness(Struct, frozen=True, kw_only=True):
    """What goes into the record."""

    system_print: str | None
    turns: int
    tools_offered: int


def likeness(request: Request, salt: bytes) -> Likeness:
    """Return what a request is like."""
    said = ((message.role, message.text) for message in request.messages)
    system_print, turns = likeness_of(said, salt)
    return Likeness(system_print=system_print, turns=turns, tools_offered=len(request.tools))


def likeness_of(said: Iterable[tuple[str, str]], salt: bytes) -> tuple[str | None, int]:
    """Return the fingerprint and the turns of what was said: roles and texts."""
    system: list[str] = []
    turns = 0
    for role, text in said:
        if role == "user":
            turns += 1
        elif role in {"system", "developer"} and not turns:
            system.append(text[: PRINTED_LETTERS * 2])
    return _print("".join(system), salt) if any(system) else None, turns


@lru_cache(maxsize=1_024)
def _print(text: str, salt: bytes) -> str:
    start = text.translate(_NO_DIGITS)[:PRINTED_LETTERS].encode("utf-8", "surrogatepass")
    return hashlib.blake2b(start, key=salt, digest_size=8).hexdigest()


def salt_of(home: Path) -> bytes:
    """Return the secret of an installation, made when it is first asked for."""
    path = home / SALT_FILE
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_bytes(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        temporary.unlink()
    return path.read_bytes()
