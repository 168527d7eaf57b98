"""Seals secrets with a master key that lies apart from them, and opens them again.

AES-256-GCM; each sealed text names the master key that it was sealed with and belongs to one
place, so that it cannot be moved to another. Master keys come from `GLASSLIPPER_MASTER_KEY` or
from `master.key` in the home, one to a line, the newest first; the newest seals, any opens. None
is ever dropped here, so that an older copy of the store can still be opened. Knows nothing of
what the secrets are for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glasslipper.kernel.errors import SetupMissing, StoreFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = "master.key"
VARIABLE = "GLASSLIPPER_MASTER_KEY"
KEY_BYTES = 32

_FORMAT = b"\x01"
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES


class _MasterKey(NamedTuple):
    id: bytes
    secret: bytes


class Vault:
    """The master keys of one home. They are read anew for each use, which is rare."""

    def __init__(self, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        """Take the keys from the environment, or else from the home; nothing is read yet."""
        self._path = home / FILE
        self._environ = environ

    def seal(self, text: str, *, place: str, may_make_key: bool) -> bytes:
        """Return the text sealed for `place`.

        Where there is no master key at all, one is made, if `may_make_key`: never do that while
        anything is stored that another one has sealed.

        Raises:
            SetupMissing: There is no master key, or what there is is none.
            StoreFailed: It cannot be written.
        """
        keys = self._keys()
        if not keys:
            if not may_make_key:
                raise self._missing("The master key is gone, and stored secrets need it.")
            self._write(self._new_line() + "\n", replace=False)
            keys = self._keys()
        return _seal(text, keys[0], place)

    def open(self, sealed: bytes, *, place: str) -> str:
        """Return the text that was sealed for `place`.

        Raises:
            SetupMissing: The master key that sealed it is not here.
            StoreFailed: It was damaged, or sealed for another place.
        """
        from cryptography.exceptions import InvalidTag

        key_id = sealed[len(_FORMAT) : len(_FORMAT) + _ID_BYTES]
        key = next((key for key in self._keys() if key.id == key_id), None)
        if sealed[:1] != _FORMAT or len(sealed) < _HEAD_BYTES:
            raise StoreFailed("A stored secret is damaged.", hint="Store the secret again.")
        if key is None:
            raise self._missing(f"The master key {key_id.hex()} that sealed a secret is not here.")
        nonce, content = sealed[_HEAD_BYTES - _NONCE_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:]
        try:
            return _cipher(key).decrypt(nonce, content, place.encode()).decode()
        except InvalidTag as error:
            raise StoreFailed(
                "A stored secret is damaged.", hint="Store the secret again."
            ) from error

    def turn(self) -> str:
        """Make a new master key, which seals from now on, and return its id.

        With keys from the environment nothing is made: its first one is the new one already.

        Raises:
            SetupMissing: What there is is no master key.
            StoreFailed: It cannot be written.
        """
        keys = self._keys()
        if not self._environ.get(VARIABLE):
            kept = "".join(f"{base64.b64encode(key.secret).decode()}\n" for key in keys)
            self._write(f"{self._new_line()}\n{kept}", replace=True)
            keys = self._keys()
        return keys[0].id.hex()

    def _keys(self) -> list[_MasterKey]:
        stated = self._environ.get(VARIABLE)
        if stated:
            return [_parse(part, VARIABLE) for part in stated.replace(",", " ").split()]
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise SetupMissing(
                f"{self._path} cannot be read: {error}.", hint="Put a copy of it in its place."
            ) from error
        keys = [_parse(line, str(self._path)) for line in text.split()]
        if not keys:
            raise self._missing(f"{self._path} is empty.")
        return keys

    def _missing(self, sentence: str) -> SetupMissing:
        return SetupMissing(
            sentence, hint=f"Put {self._path} back, or set {VARIABLE}; nothing was lost."
        )

    @staticmethod
    def _new_line() -> str:
        return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()

    def _write(self, text: str, *, replace: bool) -> None:
        """Write the file as a whole and make it durable; without `replace`, only the first wins."""
        temporary = self._path.with_name(f"{FILE}.{secrets.token_hex(4)}")
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w", encoding="ascii") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            try:
                if replace:
                    temporary.replace(self._path)
                else:
                    os.link(temporary, self._path)
            except FileExistsError:
                pass
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise StoreFailed(f"{self._path} cannot be written: {error}.") from error


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _parse(text: str, where: str) -> _MasterKey:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SetupMissing(
            f"{where} holds something that is no master key.",
            hint=f"A master key is {KEY_BYTES} random bytes in base 64: openssl rand -base64 32.",
        )
    digest = hashlib.sha256(b"glasslipper master key\0" + secret).digest()
    return _MasterKey(digest[:_ID_BYTES], secret)


def _seal(text: str, key: _MasterKey, place: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    content = _cipher(key).encrypt(nonce, text.encode(), place.encode())
    return _FORMAT + key.id + nonce + content


def _cipher(key: _MasterKey) -> AESGCM:
    # Loading it takes longer than the rest of the start, and few ever need it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key.secret)
