"""Real engines, loaded once for all tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from glasslipper.local import LocalModels


@pytest.fixture(scope="session")
def thread_engine(smol_path: Path) -> Iterator[LocalModels]:
    models = LocalModels(folder=smol_path.parent, slots=2, context_tokens=1024, queue=1)
    yield models
    asyncio.run(models.close())


@pytest.fixture(scope="session")
def process_engine(smol_path: Path) -> Iterator[LocalModels]:
    models = LocalModels(
        folder=smol_path.parent, engine="process", slots=2, context_tokens=1024, queue=1
    )
    yield models
    asyncio.run(models.close())


@pytest.fixture
def models(thread_engine: LocalModels) -> LocalModels:
    """SmolLM2 in this process: two answers at once, one waiting, 1,024 tokens of context."""
    return thread_engine


@pytest.fixture(params=["thread", "process"])
def either(request: pytest.FixtureRequest) -> LocalModels:
    """The same in this process, and again in a child process."""
    engine: LocalModels = request.getfixturevalue(f"{request.param}_engine")
    return engine
