"""Which policy runs, which is only watched, and which ran before: one small file.

The switch back is one call that needs no data and cannot fail for want of any. The file is
replaced as a whole, so a crash leaves the old one or the new one.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from glasslipper.kernel.errors import InvalidRequest

FILE = "versions.json"
MOST_REMEMBERED = 20


class Versions(msgspec.Struct, kw_only=True):
    """Names of policy files; empty for none, in `running` for the rule that needs no training.

    `history` is what ran, the last one last.
    """

    running: str = ""
    shadow: str = ""
    history: list[str] = []
    format: int = 1


def read(folder: Path) -> Versions:
    """Read a folder's versions; an empty folder has none.

    Raises:
        InvalidRequest: The file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return Versions()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Versions)
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"{path} is damaged: {error}.", hint="Move it away and train or promote again."
        ) from error


def promote(folder: Path, name: str) -> Versions:
    """Let a policy run; what ran before is remembered."""
    now = read(folder)
    if now.running != name:
        now.history = [*now.history, now.running][-MOST_REMEMBERED:]
    now.running = name
    now.shadow = "" if now.shadow == name else now.shadow
    return _write(folder, now)


def watch(folder: Path, name: str) -> Versions:
    """Let a policy decide in the shadow of the running one: noted, never followed."""
    now = read(folder)
    now.shadow = name
    return _write(folder, now)


def switch_back(folder: Path) -> Versions:
    """Let what ran before run again, or the rule that needs no training."""
    now = read(folder)
    now.running = now.history.pop() if now.history else ""
    return _write(folder, now)


def _write(folder: Path, versions: Versions) -> Versions:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.{os.getpid()}"
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(versions))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)
    return versions
