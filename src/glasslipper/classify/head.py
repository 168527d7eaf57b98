"""The trained part: one linear head for topics, one for tags, and how sure they may be.

A head turns a row of features into scores; divided by its temperature they become probabilities
that mean what they say on prompts of a kind that it was not trained on (the temperature was fitted
on sources that were left out). The artefact is `head.npz`, with its card `head.json` beside it.
Only reads and applies; `fit` trains.
"""

from __future__ import annotations

import json
import zipfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from glasslipper.classify.features import WIDTH
from glasslipper.classify.taxonomy import TAGS, TOPICS, VERSION
from glasslipper.kernel.errors import SetupMissing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS = "head.npz"
CARD = "head.json"


class LinearHead(NamedTuple):
    """Weights, shape (`WIDTH`, labels); `temperature` divides the scores."""

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    temperature: float

    def probabilities(
        self, rows: NDArray[np.float32], nudges: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the probability of each label for each row; shape (rows, labels).

        `nudges` are added to the scores: what is known besides the text.
        """
        import numpy as np

        scores = rows @ self.weights / np.float32(self.temperature)
        if nudges is not None:
            scores = scores + nudges
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        return cast("NDArray[np.float32]", raised / raised.sum(axis=1, keepdims=True))


class Heads(NamedTuple):
    """Both heads, what is known of habits, and the card that tells where all of it comes from.

    `usual` is the mixture of topics that the head expects, `trust` how far habits are trusted.
    """

    topics: LinearHead
    tags: LinearHead
    usual: NDArray[np.float32]
    trust: float
    card: dict[str, object]


def load(folder: Path | None = None) -> Heads:
    """Return the heads that came with this package, or those in a folder.

    Raises:
        SetupMissing: They are not there, or were trained for other labels or features.
    """
    import numpy as np

    place = resources.files("glasslipper.classify") if folder is None else folder
    try:
        card = cast("dict[str, object]", json.loads((place / CARD).read_text(encoding="utf-8")))
        with (place / WEIGHTS).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            topics = arrays["topics"].astype(np.float32)
            tags = arrays["tags"].astype(np.float32)
            temperatures = arrays["temperatures"]
            usual = arrays["usual"].astype(np.float32)
            trust = float(arrays["trust"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SetupMissing(
            f"The classifier's head cannot be read: {error}.", hint="Run `make train-classify`."
        ) from error
    shapes = [(WIDTH, len(TOPICS)), (WIDTH, len(TAGS)), (len(TOPICS),)]
    fits = [one.shape for one in (topics, tags, usual)] == shapes
    if card.get("taxonomy") != VERSION or not fits:
        raise SetupMissing(
            "The classifier's head was trained for other labels.", hint="Run `make train-classify`."
        )
    return Heads(
        LinearHead(TOPICS, topics, float(temperatures[0])),
        LinearHead(TAGS, tags, float(temperatures[1])),
        usual,
        trust,
        card,
    )


def save(folder: Path, heads: Heads) -> None:
    """Write both files; the same heads give the same bytes."""
    import numpy as np

    with (folder / WEIGHTS).open("wb") as file:
        np.savez_compressed(
            file,
            topics=heads.topics.weights.astype(np.float16),
            tags=heads.tags.weights.astype(np.float16),
            temperatures=np.array([heads.topics.temperature, heads.tags.temperature], np.float64),
            usual=heads.usual,
            trust=np.float64(heads.trust),
        )
    text = json.dumps(heads.card, indent=2, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
