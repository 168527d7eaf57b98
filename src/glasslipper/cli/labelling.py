"""Gives the classifier its vectors: the static ones of `local`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glasslipper.kernel.errors import SetupMissing

if TYPE_CHECKING:
    from glasslipper.classify import Classifier


def open_classifier(*, fetch: bool, quiet: bool = True) -> Classifier:
    """Return a classifier that works.

    With `fetch` the vectors are fetched if need be, and with `quiet` nothing is shown meanwhile.

    Raises:
        SetupMissing: The vectors are not here, and were not to be fetched.
        DownloadFailed: They could not be fetched.
    """
    from glasslipper.classify import Classifier
    from glasslipper.cli.fetching import pull
    from glasslipper.local import EMBEDDINGS, MODELS, is_present
    from glasslipper.local.embed import StaticVectors

    if not fetch and not is_present(MODELS[EMBEDDINGS]):
        raise SetupMissing(
            f"Labelling requests needs {EMBEDDINGS}, which is not on this machine.",
            hint=f"Run `glasslipper models pull {EMBEDDINGS}`, or set `classify` to false.",
        )
    weights, tokenizer = pull(EMBEDDINGS, quiet=quiet).paths
    vectors = StaticVectors(weights=weights, tokenizer=tokenizer)
    return Classifier(lambda texts: vectors.embed(texts).vectors)
