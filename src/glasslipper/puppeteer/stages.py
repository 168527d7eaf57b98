"""What a long training has finished, kept in files, so that a stopped one goes on where it was.

Every stage draws its chances from a seed of its own, so what is made in one go and what is made
in several is the same to the last bit. Knows names and arrays, not what is trained.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from glasslipper.puppeteer.outcomes import Floats

Arrays = Mapping[str, Floats]

_TOOK = "took_s"
_log = logging.getLogger(__name__)


class Stages:
    """Finished stages by name, in a folder; without one, nothing is kept.

    `spared_s` is how long those took that need not be done again.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Look into a folder, which need not be there."""
        self.folder = folder
        self.spared_s = 0.0

    @classmethod
    def of(cls, folder: Path, *what: object) -> Stages:
        """Return those of a training that is told from all others by `what` it depends on."""
        told = hashlib.sha256("\0".join(map(repr, what)).encode())
        return cls(folder / told.hexdigest()[:16])

    def within(self, name: str) -> Stages:
        """Return those of a part of the same training."""
        return Stages(None if self.folder is None else self.folder / name)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return self.folder is not None and any(self.folder.glob("*.npz"))

    def once(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return what a stage made; make it, if that has not been done."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name}.npz"
        if (found := _read(path)) is not None:
            self.spared_s += float(found.pop(_TOOK))
            return found
        began_s = time.monotonic()
        made = make()
        _write(path, {**made, _TOOK: np.array(time.monotonic() - began_s, np.float32)})
        return made

    def clear(self) -> None:
        """Forget all: it is finished."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> dict[str, Floats] | None:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return found if _TOOK in found else None


def _write(path: Path, arrays: Arrays) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError as error:
        _log.warning("This training could not go on if it were stopped: %s", error)
