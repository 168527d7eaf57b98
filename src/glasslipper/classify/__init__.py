"""What a prompt is about: topic, task, language, code language; and honest shares of them.

`Classifier` labels requests on this machine, in under a millisecond, with a linear head over
static embeddings and signals. `judge` lets a language model label a sample, and `shares` combines
both into shares with intervals that hold however wrong the classifier is. Knows no gateway and no
ledger, and does not say where vectors come from.
"""

from __future__ import annotations

from glasslipper.classify.classifier import SURE, Classifier, Guess, Seen
from glasslipper.classify.code import code_language
from glasslipper.classify.language import language
from glasslipper.classify.taxonomy import STUDY_TOPICS, TAG_GROUPS, TAGS, TOPICS, group_of

__all__ = [
    "STUDY_TOPICS",
    "SURE",
    "TAGS",
    "TAG_GROUPS",
    "TOPICS",
    "Classifier",
    "Guess",
    "Seen",
    "code_language",
    "group_of",
    "language",
]
