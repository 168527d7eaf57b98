"""How the classifier is judged: on sources that nothing was chosen on."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from glasslipper.classify.features import SIGNALS_AT
from glasslipper.classify.fit import Knobs
from glasslipper.local.embed import StaticVectors

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DATA = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
LABELS = ("one", "two", "three")
GRID = tuple(
    Knobs(pull=pull, meaning_weight=weight) for pull in (0.01, 0.1) for weight in (0.5, 2.0)
)
ALIKE = 0.85
"""Two prompts whose vectors are nearer than this say the same in other words."""


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`benchmarks/classify_corpora.py`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("classify_corpora")


@pytest.fixture
def study(corpora: ModuleType) -> ModuleType:
    """`benchmarks/classify_study.py`."""
    assert corpora
    return importlib.import_module("classify_study")


def planted(study: ModuleType, corpora: ModuleType, size: int = 60) -> object:
    """Our seeds and three families; meaning and signals both tell the label, with noise."""
    chance = np.random.default_rng(11)
    known = [
        corpora.Corpus(name, name, "MIT", "here", name != corpora.OURS, (), 0)
        for name in (corpora.OURS, "a", "b", "c")
    ]
    places = np.repeat(np.arange(4), size)
    labels = chance.integers(0, 3, 4 * size)
    rows = np.zeros((4 * size, SIGNALS_AT + 4))
    rows[:, :3] = np.eye(3)[labels] + chance.normal(0, 0.7, (4 * size, 3))
    rows[:, SIGNALS_AT : SIGNALS_AT + 3] = np.eye(3)[labels] + chance.normal(0, 0.7, (4 * size, 3))
    rows[:, -1] = 1.0
    trains = np.ones(4 * size, dtype=np.bool_)
    return study.Table(rows, labels, places, trains, known, LABELS)


def test_the_labels_of_a_judged_source_have_no_way_into_what_labels_it(
    study: ModuleType, corpora: ModuleType
) -> None:
    data = planted(study, corpora)
    prior = np.zeros((data.rows.shape[1], 3))
    honest = study.judge(data, prior, GRID, family="b")
    labels = data.labels.copy()
    mine = data.family("b")
    labels[mine] = (labels[mine] + 1) % 3
    scrambled = study.judge(data._replace(labels=labels), prior, GRID, family="b")
    assert np.array_equal(honest.probabilities, scrambled.probabilities)
    assert honest.chosen.told() == scrambled.chosen.told()
    assert np.array_equal(honest.chosen.usual, scrambled.chosen.usual)
    right = (honest.probabilities.argmax(axis=1) == data.labels[mine]).mean()
    assert right > 0.7


def test_its_words_have_no_way_in_either(study: ModuleType, corpora: ModuleType) -> None:
    data = planted(study, corpora)
    prior = np.zeros((data.rows.shape[1], 3))
    rows = data.rows.copy()
    rows[data.family("b"), :-1] = 7.0
    assert (
        study.choose(data, prior, GRID, without="b").told()
        == study.choose(data._replace(rows=rows), prior, GRID, without="b").told()
    )
    assert (
        study.choose(data, prior, GRID).told()
        != study.choose(data._replace(rows=rows), prior, GRID).told()
    )


def test_a_head_that_is_given_a_sources_labels_knows_what_only_this_source_says(
    study: ModuleType, corpora: ModuleType
) -> None:
    data = planted(study, corpora, size=90)
    mine = data.family("b")
    labels = data.labels.copy()
    labels[mine] = (labels[mine] + 1) % 3
    odd = data._replace(labels=labels)
    prior = np.zeros((data.rows.shape[1], 3))
    judged = study.judge(odd, prior, GRID[:1], family="b")
    own = study.with_own_labels(odd, prior, judged.chosen, corpus="b", folds=3, alone=True)
    found = (own.argmax(axis=1) == labels[mine]).mean()
    assert found > (judged.probabilities.argmax(axis=1) == labels[mine]).mean() + 0.1


def test_the_best_threshold_is_the_best_of_all_thresholds(study: ModuleType) -> None:
    chance = np.random.default_rng(3)
    scores, is_label = chance.normal(size=50), chance.random(50) < 0.4
    every = [
        study.f1((scores >= at).astype(np.int64), is_label.astype(np.int64), 1) for at in scores
    ]
    assert study.best_f1(scores, is_label) == pytest.approx(max(every))


@pytest.mark.skipif(not (DATA / "classify").is_dir(), reason=f"no labelled prompts in {DATA}")
def test_no_seed_says_what_a_judged_prompt_says(
    corpora: ModuleType, vector_paths: tuple[Path, Path]
) -> None:
    weights, tokenizer = vector_paths
    vectors = StaticVectors(weights=weights, tokenizer=tokenizer)
    known = corpora.load(DATA)
    (seeds,) = (corpus for corpus in known if corpus.name == corpora.OURS)
    judged = [prompt for corpus in known if corpus.judged for prompt in corpus.prompts]
    near = vectors.embed([prompt.text for prompt in seeds.prompts]).vectors
    far = vectors.embed([prompt.text[:700] for prompt in judged]).vectors
    nearest = (near @ far.T).max(axis=1)
    alike = [seeds.prompts[at].text for at in np.flatnonzero(nearest >= ALIKE)]
    assert alike == []
