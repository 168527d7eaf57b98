"""Which policy runs, which is only watched, and which ran before: one small file.

The switch back is one call that needs no data and cannot fail for want of any. The file is
replaced as a whole, so a crash leaves the old one or the new one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.store.files import replacing

FILE = "versions.json"
FORMAT = 1
MOST_REMEMBERED = 20


class Versions(msgspec.Struct, kw_only=True):
    """Names of policy files; empty for none, in `running` for the rule that needs no training.

    `history` is what ran, the last one last; `tried` how many candidates were held against what
    runs and did not surely beat it.
    """

    running: str = ""
    shadow: str = ""
    history: list[str] = []
    tried: int = 0
    format: int = FORMAT


def read(folder: Path) -> Versions:
    """Read a folder's versions; an empty folder has none.

    Raises:
        InvalidRequest: The file is damaged, or from a newer version.
    """
    path = folder / FILE
    if not path.exists():
        return Versions()
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Versions)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidRequest(
            f"{path} is damaged: {error}.", hint="Move it away and train or promote again."
        ) from error
    if found.format > FORMAT:
        raise InvalidRequest(
            f"{path} was written by a newer version (format {found.format}).",
            hint="Update Glasslipper.",
        )
    return found


def promote(folder: Path, name: str, *, over: str | None = None) -> Versions:
    """Let a policy run; what ran before is remembered.

    With `over`, it is only watched if what runs is no longer what it was held against.
    """
    with _locked(folder):
        now = read(folder)
        if over is not None and now.running != over:
            now.shadow = name
            return _write(folder, now)
        if now.running != name:
            now.history = [*now.history, now.running][-MOST_REMEMBERED:]
            now.tried = 0
        now.running = name
        now.shadow = "" if now.shadow == name else now.shadow
        return _write(folder, now)


def watch(folder: Path, name: str, *, tried: bool = False) -> Versions:
    """Let a policy decide in the shadow of the running one: noted, never followed.

    Say `tried` if it was held against what runs and did not surely beat it.
    """
    with _locked(folder):
        now = read(folder)
        now.shadow = name
        now.tried += tried
        return _write(folder, now)


def switch_back(folder: Path) -> Versions:
    """Let what ran before run again, or the rule that needs no training."""
    with _locked(folder):
        now = read(folder)
        now.running = now.history.pop() if now.history else ""
        now.tried = 0
        return _write(folder, now)


@contextmanager
def alone(folder: Path, name: str) -> Generator[None]:
    """Wait until nobody else does what `name` says with this folder; a crash lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _locked(folder: Path) -> AbstractContextManager[None]:
    return alone(folder, FILE)


def _write(folder: Path, versions: Versions) -> Versions:
    with replacing(folder / FILE) as file:
        file.write(msgspec.json.encode(versions))
    return versions
