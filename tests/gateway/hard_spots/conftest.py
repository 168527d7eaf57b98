"""A parrot, and a gateway that knows it as a provider of each dialect."""

from __future__ import annotations

from collections.abc import Iterator

import as_provider
import pytest

from glasslipper.testing.parrot import Parrot
from glasslipper.testing.served import Served


@pytest.fixture(scope="module")
def parrot() -> Iterator[Parrot]:
    with Parrot() as parrot:
        yield parrot


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, parrot: Parrot) -> Iterator[Served]:
    environ = {
        "GLASSLIPPER_MODELS": str(tmp_path_factory.mktemp("models")),
        as_provider.KEY_ENV: "sk-hard-0123456789",
    }
    with Served(tmp_path_factory.mktemp("home"), environ=environ) as served:
        for dialect in as_provider.PLAIN:
            served.add_model(f"hard/{dialect}", **as_provider.place(parrot.url, dialect))
        yield served
