"""Where referees lie: one folder below the user's cache for each, pinned, fetched when wanted.

None of them is a dependency of this project. Knows nothing of what they are used for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

INSTALL_S = 900.0


class MissingError(RuntimeError):
    """A referee cannot be had here; says why."""


def cache() -> Path:
    """Return the folder that holds them all."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "glasslipper-referees"


def python(name: str, *packages: str) -> Path:
    """Return the `bin` folder of a virtual environment that holds pinned packages.

    Raises:
        MissingError: They cannot be installed.
    """

    def fetch(place: Path) -> None:
        uv = str(Path(sys.executable).parent / "uv")
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(place / "venv"))
        _run(uv, "pip", "install", "--quiet", "--python", str(place / "venv/bin/python"), *packages)

    return _installed(name, packages, fetch) / "venv/bin"


def npm(name: str, *packages: str) -> Path:
    """Return a folder whose `node_modules` holds pinned packages; no install script of theirs runs.

    Raises:
        MissingError: There is no Node.js, or they cannot be installed.
    """
    program = shutil.which("npm")
    if program is None or shutil.which("node") is None:
        raise MissingError("there is no Node.js with npm on the path")

    def fetch(place: Path) -> None:
        quiet = ("--no-fund", "--no-audit", "--ignore-scripts", "--loglevel=error")
        _run(program, "install", *quiet, "--prefix", str(place), *packages)

    return _installed(name, packages, fetch)


def _installed(name: str, packages: Sequence[str], fetch: Callable[[Path], None]) -> Path:
    """Return a referee's folder, which is complete if its file `whole` names these packages."""
    folder = cache() / name
    whole = folder / "whole"
    wanted = "\n".join(packages)
    if whole.is_file() and whole.read_text(encoding="utf-8") == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sys.stderr.write(f"fetching {name}\n")
    try:
        fetch(folder)
    except OSError as error:
        raise MissingError(f"installing it failed: {error}") from error
    whole.write_text(wanted, encoding="utf-8")
    return folder


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, encoding="utf-8", timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"installing it took longer than {INSTALL_S:.0f} s") from error
    if done.returncode:
        raise MissingError(f"installing it failed: {_reason(done.stderr)}")


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-4:])[:300] or "it said nothing"
