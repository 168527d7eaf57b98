"""The installed `glasslipper` command, run as a child process, and servers for it to talk to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glasslipper.gateway.providers.table import PROVIDERS
from glasslipper.testing import FakeUpstream
from glasslipper.testing.served import Served

GLASSLIPPER = Path(sys.executable).with_name("glasslipper")
KEYS = tuple(name for provider in PROVIDERS for name in provider.key_env)
NOT_OURS = ("GLASSLIPPER_", "PYTHONDONTWRITEBYTECODE", *KEYS)
"""Variables that commands under test do not see."""


class Cli:
    """`glasslipper` with a home of its own."""

    def __init__(self, home: Path, models: Path) -> None:
        self.home = home
        bare = {name: text for name, text in os.environ.items() if not name.startswith(NOT_OURS)}
        self.environ = {
            **bare,
            "GLASSLIPPER_HOME": str(home),
            "GLASSLIPPER_MODELS": str(models),
            "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "glasslipper-bytecode"),
        }

    def command(self, *arguments: str) -> list[str]:
        return [str(GLASSLIPPER), *arguments]

    def run(
        self, *arguments: str, piped: str | bytes = "", environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever the end is."""
        done = subprocess.run(
            self.command(*arguments),
            input=piped.encode() if isinstance(piped, str) else piped,
            capture_output=True,
            env={**self.environ, **(environ or {})},
            timeout=60,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def ok(self, *arguments: str, piped: str = "") -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.run(*arguments, piped=piped)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed and return the JSON that it printed."""
        return json.loads(self.ok(*arguments, "--json"))

    def error(self, *arguments: str, status: int = 1) -> dict[str, Any]:
        """Run a command that must fail and return the error object that it told."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done
        assert done.stdout == ""
        return json.loads(done.stderr)["error"]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """A home without a server and without any model."""
    return Cli(tmp_path / "home", tmp_path / "models")


@pytest.fixture(scope="session")
def cli_at() -> type[Cli]:
    """Commands on a home and a folder of models: `cli_at(home, models)`."""
    return Cli


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as fake:
        yield fake


@pytest.fixture(scope="session")
def served_cli(tmp_path_factory: pytest.TempPathFactory, smol_path: Path) -> Iterator[Cli]:
    """A home that a real server serves, with the real `local/smol`."""
    known = Cli(tmp_path_factory.mktemp("served") / "home", smol_path.parent)
    with Served(known.home, environ=known.environ):
        yield known
