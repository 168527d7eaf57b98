"""API keys: 256 random bits, shown once, kept only as a SHA-256 hash.

A fast hash is enough because the secret is random, not chosen by a person.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

PREFIX = "sk-gl-"


class Secret(NamedTuple):
    """A new key: its text, what is stored of it, and a hint by which people recognise it."""

    text: str
    hash: bytes
    hint: str


def new_secret() -> Secret:
    """Return a new key."""
    text = PREFIX + secrets.token_hex(32)
    return Secret(text=text, hash=hash_of(text), hint=f"{text[:10]}…{text[-4:]}")


def hash_of(text: str) -> bytes:
    """Return what is stored instead of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
