"""Labels requests and texts: the heads' verdicts where they are sure enough, and the languages.

A verdict stands when its calibrated probability says that it is more likely right than wrong;
otherwise there is none. Implements `kernel.ports.Labeller`. Keeps nothing of what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from glasslipper.classify import head
from glasslipper.classify.code import code_language
from glasslipper.classify.features import features
from glasslipper.classify.habits import Habits
from glasslipper.classify.language import language
from glasslipper.classify.structure import nudges
from glasslipper.classify.taxonomy import TAGS
from glasslipper.classify.turns import cut, users_words
from glasslipper.kernel.record import Topic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from glasslipper.classify.features import Embed
    from glasslipper.classify.head import LinearHead
    from glasslipper.kernel.messages import Request

SURE = 0.5
"""The least probability of a verdict that is told."""


class Guess(NamedTuple):
    """A label and how probable it is."""

    label: str
    probability: float


class Seen(NamedTuple):
    """Everything that was seen in a text: the likeliest labels first, sure or not."""

    topics: tuple[Guess, ...]
    tags: tuple[Guess, ...]
    language: str | None
    code_language: str | None


class Classifier:
    """The heads that came with this package, on the vectors of `embed`."""

    def __init__(self, embed: Embed, *, folder: Path | None = None) -> None:
        """Read the heads; `folder` says where, if not those of the package.

        Raises:
            SetupMissing: They cannot be read.
        """
        self._embed = embed
        self._heads = head.load(folder)
        self.name = f"classify:{self._heads.card['version']}"
        self._habits = Habits(self._heads.usual, self._heads.trust)

    def label(self, request: Request, workload: str | None = None) -> Topic:
        """Label what the user says in a request and what its shape tells.

        With a `workload` the request counts as one of many that resemble each other (`habits`).
        """
        words = users_words(request.messages)
        return self._told(*self._weighed(words, nudges(request), workload))

    def label_text(self, text: str) -> Topic:
        """Label a text as if a user had said it."""
        return self._told(*self._weighed(text, None, None))

    def look(
        self,
        text: str,
        *,
        nudged: Mapping[str, float] | None = None,
        workload: str | None = None,
    ) -> Seen:
        """Return what is seen in a text; `nudged` raises tags by what else is known."""
        text, topics, tags = self._weighed(text, nudged, workload)
        return Seen(
            _ranked(self._heads.topics, topics),
            _ranked(self._heads.tags, tags),
            language(text),
            code_language(text),
        )

    def _weighed(
        self, text: str, nudged: Mapping[str, float] | None, workload: str | None
    ) -> tuple[str, NDArray[np.float32], NDArray[np.float32]]:
        """Return what was looked at, and the probability of each topic and of each tag."""
        import numpy as np

        text = cut(text)
        rows = features([text], self._embed)
        extra: NDArray[np.float32] | None = None
        if nudged:
            extra = np.array([[nudged.get(tag, 0.0) for tag in TAGS]], dtype=np.float32)
        topics = self._heads.topics.probabilities(rows)[0]
        if workload is not None and text:
            topics = self._habits.apply(workload, topics)
        return text, topics, self._heads.tags.probabilities(rows, extra)[0]

    def _told(self, text: str, topics: NDArray[np.float32], tags: NDArray[np.float32]) -> Topic:
        topic, tag = int(topics.argmax()), int(tags.argmax())
        confidence = float(topics[topic])
        return Topic(
            task=self._heads.topics.labels[topic] if confidence >= SURE else None,
            tag=self._heads.tags.labels[tag] if float(tags[tag]) >= SURE else None,
            language=language(text),
            code_language=code_language(text),
            confidence=round(confidence, 3),
            classifier=self.name,
        )


def _ranked(which: LinearHead, probabilities: NDArray[np.float32]) -> tuple[Guess, ...]:
    found = [Guess(*one) for one in zip(which.labels, probabilities.tolist(), strict=True)]
    return tuple(sorted(found, key=lambda guess: -guess.probability))
