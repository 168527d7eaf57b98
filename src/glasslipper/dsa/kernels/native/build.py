"""Builds the C++ kernel with the system's compiler, once for each processor and source.

Knows compilers and files, nothing of attention.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import platformdirs

from glasslipper.dsa.errors import NoCompiler

_SOURCES = Path(__file__).parent
_PARTS = {"select.cpp": ("-ffp-contract=off",), "attend.cpp": (), "decode.cpp": (), "crew.cpp": ()}
_IS_ARM = platform.machine() in ("aarch64", "arm64")
_FLAGS = (
    *("-std=c++20", "-O3", "-fPIC", "-pthread"),
    "-mcpu=native" if _IS_ARM else "-march=native",
)
_COMPILERS = ("c++", "g++", "clang++")
_BUILD_S = 120


def library(*, extra: tuple[str, ...] = (), folder: Path | None = None) -> Path:
    """Return the built library, building it where it is not there yet.

    Args:
        extra: More flags for the compiler.
        folder: Where it is kept; by default the user's cache.

    Raises:
        NoCompiler: There is no C++20 compiler, it fails, or what it makes cannot be kept.
    """
    compiler = _compiler()
    folder = folder or platformdirs.user_cache_path("glasslipper") / "kernels"
    target = folder / f"dsa-{_fingerprint(compiler, extra)}.so"
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _build(compiler, extra, Path(work))
            (Path(work) / "dsa.so").replace(target)
    except OSError as error:
        raise NoCompiler(
            f"the C++ kernel cannot be kept in {folder}: {error}",
            hint="make room there, or set XDG_CACHE_HOME to a folder that can be written",
        ) from error
    return target


def _build(compiler: str, extra: tuple[str, ...], work: Path) -> None:
    commands = [
        [compiler, *_FLAGS, *own, *extra, "-c", str(_SOURCES / name), "-o", str(work / f"{name}.o")]
        for name, own in _PARTS.items()
    ]
    with ThreadPoolExecutor(len(commands)) as pool:
        for _ in pool.map(_run, commands):
            pass
    objects = [str(work / f"{name}.o") for name in _PARTS]
    _run([compiler, "-shared", "-pthread", *objects, "-o", str(work / "dsa.so")])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 (the user's own compiler, on our own sources)
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_BUILD_S,
        )
        said = done.stderr if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said is not None:
        raise NoCompiler(
            f"{command[0]} could not build the C++ kernel: {said.strip()[-500:]}",
            hint="it needs C++20 (g++ 12 or clang++ 14); set CXX to another compiler",
        )


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), *_COMPILERS)):
        if found := shutil.which(name):
            return found
    raise NoCompiler(
        "there is no C++ compiler on this machine",
        hint="install one (on Debian: apt install g++), or use the torch path",
    )


def _fingerprint(compiler: str, extra: tuple[str, ...]) -> str:
    version = subprocess.run(  # noqa: S603
        [compiler, "--version"], capture_output=True, check=False
    ).stdout
    about = hashlib.sha256(repr((_FLAGS, _PARTS, extra, platform.machine())).encode())
    about.update(version)
    for source in sorted(_SOURCES.glob("*.[ch]*")):
        about.update(source.read_bytes())
    processor = Path("/proc/cpuinfo")
    if processor.exists():
        lines = processor.read_text(encoding="utf-8").splitlines()
        about.update(next((x for x in lines if x.startswith(("flags", "Features"))), "").encode())
    return about.hexdigest()[:16]
