"""The classifier with the real static vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from glasslipper.classify import Classifier
from glasslipper.local.embed import StaticVectors


@pytest.fixture(scope="session")
def classifier(vector_paths: tuple[Path, Path]) -> Classifier:
    """The heads of the package on the vectors of `local/static-256`."""
    weights, tokenizer = vector_paths
    vectors = StaticVectors(weights=weights, tokenizer=tokenizer)
    return Classifier(lambda texts: vectors.embed(texts).vectors)
