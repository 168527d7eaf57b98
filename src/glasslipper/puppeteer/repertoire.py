"""The policies of a home: which one runs, which is only watched, and all that may be named.

Looks at the folder at most once a second, so that what was promoted, or taken back, is followed by
every running server within that time. A file that cannot be read is passed over with a word in the
log; where it is the one that should run, the untrained rule does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from glasslipper.kernel.errors import GlasslipperError, InvalidRequest
from glasslipper.puppeteer import versions
from glasslipper.puppeteer.guide import Guide, Ladder

if TYPE_CHECKING:
    from glasslipper.puppeteer.looks import Vectors

LOOK_S = 0.5

_log = logging.getLogger(__name__)


class Repertoire:
    """The policies of a folder, as they are now."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        explore: float = 0.0,
        vectors: Callable[[], Vectors] | None = None,
    ) -> None:
        """Look into a folder, which need not be there; `explore` is the rule's.

        `vectors` gives what turns texts into vectors, for policies that read tasks so.
        """
        self.rule = Ladder(explore=explore)
        self.running: Guide = self.rule
        self.shadow: Guide | None = None
        self.named: dict[str, Guide] = {self.rule.version: self.rule}
        self.files: dict[str, str] = {}
        self._folder = folder
        self._vectors = vectors
        self._looked_s = float("-inf")
        self._mark = 0
        self._known: dict[Path, tuple[int, Guide | None]] = {}

    @property
    def is_stale(self) -> bool:
        """Whether it is time to look, and there is something new to be seen."""
        now_s = time.monotonic()
        if self._folder is None or now_s < self._looked_s + LOOK_S:
            return False
        self._looked_s = now_s
        return self._seen() != self._mark

    def refresh(self) -> None:
        """Read what is new."""
        if self._folder is None:
            return
        self._mark = self._seen()
        found = {path.name: guide for path in self._files() if (guide := self._load(path))}
        try:
            now = versions.read(self._folder)
        except GlasslipperError as error:
            _log.warning("%s The rule that needs no training serves.", error.message)
            now = versions.Versions()
        self.running = found.get(now.running, self.rule)
        self.shadow = found.get(now.shadow)
        self.named = {guide.version: guide for guide in (*found.values(), self.rule)}
        self.files = {guide.version: name for name, guide in found.items()}

    def _seen(self) -> int:
        try:
            return 0 if self._folder is None else self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    def _files(self) -> list[Path]:
        assert self._folder is not None  # noqa: S101 - the caller looked
        every = (path for path in self._folder.glob("*") if path.suffix in (".json", ".npz"))
        return sorted(path for path in every if path.name != versions.FILE)

    def _load(self, path: Path) -> Guide | None:
        mark = 0
        try:
            mark = path.stat().st_mtime_ns
            known = self._known.get(path)
            if known is None or known[0] != mark:
                self._known[path] = known = (mark, read(path, vectors=self._vectors))
        except Exception as error:  # noqa: BLE001 - no file may cost anybody an answer
            _log.warning("A policy is passed over: %s", error)
            self._known[path] = known = (mark, None)
        return known[1]


class _Kind(msgspec.Struct):
    kind: str = "linear"


def read(path: Path, *, vectors: Callable[[], Vectors] | None = None) -> Guide:
    """Read a policy of any kind.

    Raises:
        InvalidRequest: It is none.
    """
    if path.suffix == ".npz":
        return _believing(path, vectors)
    try:
        kind = msgspec.json.decode(path.read_bytes(), type=_Kind).kind
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path} is not a policy: {error}.") from error
    if kind == "learned":
        from glasslipper.puppeteer.learned import Learned  # brings numpy: a start can do without

        return Learned.load(path)
    from glasslipper.puppeteer.linear import Linear

    return Linear.load(path)


def _believing(path: Path, vectors: Callable[[], Vectors] | None) -> Guide:
    from glasslipper.puppeteer import artefact
    from glasslipper.puppeteer.believing import Believing

    if vectors is None:
        raise InvalidRequest(f"{path} reads tasks by their vectors, which are not here.")
    policy, told = artefact.load(path)
    return Believing(policy, told, version=path.stem, vectors=vectors())
