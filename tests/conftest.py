"""What every test may ask for: the real model, the static vectors, and a way to run coroutines."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import sdk_clients
from glasslipper.local import fetch
from glasslipper.store import places

T = TypeVar("T")


@pytest.fixture(scope="session")
def models_folder() -> Path:
    """The folder of the models, whatever the environment says while tests change it."""
    return _MODELS


@pytest.fixture(scope="session")
def smol_path(models_folder: Path) -> Path:
    """The file of `local/smol`, fetched once for this machine; fails where that is impossible."""
    (path,) = fetch("local/smol", folder=models_folder)
    return path


@pytest.fixture(scope="session")
def vector_paths(models_folder: Path) -> tuple[Path, Path]:
    """The weights and the tokenizer of `local/static-256`."""
    weights, tokenizer = fetch("local/static-256", folder=models_folder)
    return weights, tokenizer


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a coroutine to its end, for at most a minute."""

    def to_the_end(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(asyncio.wait_for(work, 60))

    return to_the_end


@pytest.fixture(autouse=True)
def _clients_close() -> Iterator[None]:
    yield
    sdk_clients.close_all()


_MODELS = places.models()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell lets what it runs in the background ignore Ctrl-C, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
