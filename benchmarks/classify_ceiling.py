"""How far the labels of the judged sources go: what no choice could reach without them.

Four looks, none of which is a figure of the classifier: what programming is taken for, source by
source; the F1 of the best threshold with all labels in sight; the same head with most of a
source's own labels given to it; and the labels of a reader, who saw prompts drawn by chance and
neither source nor label, beside the source's and the head's.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import classify_study as study
from classify_corpora import Corpus
from glasslipper.classify.taxonomy import TOPICS

Figures = dict[str, float | int]

_READ = Path(__file__).parent / "classify_read.tsv"
"""Corpus, number of the prompt in it, and the topic that the reader gave, or a question mark."""


_PROGRAMMING = TOPICS.index("programming")


def read_by_hand(corpora: list[Corpus]) -> dict[int, str]:
    """Return what the reader said, by place among all prompts (`study.prompts_of`)."""
    starts: dict[str, int] = {}
    for corpus in corpora:
        starts[corpus.name] = sum(len(one.prompts) for one in corpora[: len(starts)])
    rows = [line.split("\t") for line in _READ.read_text(encoding="utf-8").splitlines()]
    return {starts[name] + int(number): topic for name, number, topic in rows}


class Found(NamedTuple):
    """All judged prompts of a run: who asked, what is right, what was told, and how sure."""

    names: NDArray[np.str_]
    labels: NDArray[np.int64]
    told: NDArray[np.int64]
    in_turn: NDArray[np.int64]
    own: NDArray[np.int64]
    own_alone: NDArray[np.int64]
    programming: NDArray[np.float32]
    places: NDArray[np.int64]

    def where(self, mask: NDArray[np.bool_]) -> Found:
        """Return the prompts that the mask lets through."""
        return Found(*(column[mask] for column in self))


def gathered(
    everything: list[study.Judged], data: study.Table, start: NDArray[np.float32], folds: int
) -> Found:
    """Return what was told of every judged prompt, source after source."""
    parts: list[Found] = []
    for family, judged in zip(data.judged(), everything, strict=True):
        places = np.flatnonzero(judged.mask)
        for corpus in data.known:
            mine = data.corpus(corpus.name)[places]
            if corpus.family == family and mine.any():
                chances, at = judged.probabilities[mine], places[mine]
                own = [
                    study.with_own_labels(
                        data,
                        start.astype(np.float64),
                        judged.chosen,
                        corpus=corpus.name,
                        folds=folds,
                        alone=alone,
                    ).argmax(axis=1)
                    for alone in (False, True)
                ]
                parts.append(
                    Found(
                        np.full(len(at), corpus.name, dtype="U32"),
                        data.labels[at],
                        chances.argmax(axis=1),
                        study.in_turn(chances, judged.chosen.usual, judged.chosen.trust).argmax(
                            axis=1
                        ),
                        *own,
                        chances[:, _PROGRAMMING],
                        at,
                    )
                )
    return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def programming(told: NDArray[np.int64], labels: NDArray[np.int64]) -> Figures:
    """Return precision, recall and F1 of programming."""
    right = int(((told == _PROGRAMMING) & (labels == _PROGRAMMING)).sum())
    return {
        "precision": _rounded(right / max(int((told == _PROGRAMMING).sum()), 1)),
        "recall": _rounded(right / max(int((labels == _PROGRAMMING).sum()), 1)),
        "f1": _rounded(study.f1(told, labels, _PROGRAMMING)),
    }


def confusion(found: Found) -> dict[str, dict[str, object]]:
    """Return by source what programming is taken for, and what is taken for it."""
    by_source: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(found.names.tolist()):
        mine = found.where(found.names == name)
        missed = mine.told[(mine.labels == _PROGRAMMING) & (mine.told != _PROGRAMMING)]
        wrongly = mine.labels[(mine.labels != _PROGRAMMING) & (mine.told == _PROGRAMMING)]
        by_source[name] = {
            **programming(mine.told, mine.labels),
            "prompts": int((mine.labels == _PROGRAMMING).sum()),
            "taken_for": _counted(missed),
            "taken_for_it": _counted(wrongly),
        }
    return by_source


def _counted(labels: NDArray[np.int64]) -> dict[str, int]:
    counts = Counter(TOPICS[one] for one in labels.tolist())
    return dict(counts.most_common())


def told(found: Found, reader: dict[int, str]) -> dict[str, object]:
    """Return how far the labels of each source go, for topics and for programming."""
    several = found.where(found.names != "banking77")
    by_source: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(found.names.tolist()):
        mine = found.where(found.names == name)
        by_source[name] = {
            "accuracy_with_own_labels": _rounded((mine.own == mine.labels).mean()),
            "accuracy_on_own_labels_alone": _rounded((mine.own_alone == mine.labels).mean()),
            **_read(mine, reader),
        }
        if (mine.labels == _PROGRAMMING).any():
            by_source[name]["programming_f1_best_threshold"] = _rounded(
                study.best_f1(mine.programming, mine.labels == _PROGRAMMING)
            )
            by_source[name] |= _with_own_labels(mine)
    return {
        "programming_f1_best_threshold": _rounded(
            study.best_f1(several.programming, several.labels == _PROGRAMMING)
        ),
        **_with_own_labels(several),
        **_read(found, reader),
        "per_source": by_source,
    }


def _with_own_labels(found: Found) -> Figures:
    return {
        "programming_f1_with_own_labels": programming(found.own, found.labels)["f1"],
        "programming_f1_on_own_labels_alone": programming(found.own_alone, found.labels)["f1"],
    }


def _read(found: Found, reader: dict[int, str]) -> dict[str, object]:
    """Return how a reader's labels agree with the source's and with the head's."""
    read = [at for at, place in enumerate(found.places.tolist()) if place in reader]
    if not read:
        return {}
    mine = found.where(np.array(read))
    known = [reader[place] for place in mine.places.tolist()]
    decided = np.array([one in TOPICS for one in known])
    by_reader = np.array([TOPICS.index(one) if one in TOPICS else -1 for one in known])
    return {
        "read": len(known),
        "reader_could_not_decide": int((~decided).sum()),
        "source_agrees_with_reader": _rounded((mine.labels == by_reader).mean()),
        "head_agrees_with_reader": _rounded((mine.told == by_reader).mean()),
        "programming_f1_of_reader_by_source": programming(by_reader, mine.labels)["f1"],
        "programming_f1_of_head_by_reader": programming(mine.told, by_reader)["f1"],
    }


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 4)
