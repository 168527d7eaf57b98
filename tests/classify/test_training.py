"""How heads are trained, kept and described."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from glasslipper.classify import TAGS, TOPICS, head, prior
from glasslipper.classify.features import SIGNALS_AT, WIDTH
from glasslipper.classify.fit import Examples, Knobs, fit, fit_apart, temperature
from glasslipper.classify.head import Heads, LinearHead
from glasslipper.classify.signals import NAMES, signals
from glasslipper.classify.taxonomy import VERSION
from glasslipper.kernel.errors import SetupMissing

LICENCES_THAT_LET_US_SHIP_WEIGHTS = {"Apache-2.0", "MIT", "CC BY 4.0"}


def planted(seed: int, mixtures: tuple[float, ...], size: int) -> Examples:
    """Two labels that one column tells apart; corpora with their own mixture and own habit.

    Columns: the telling one, a habit of the corpus (constant in it), and a one.
    """
    chance = np.random.default_rng(seed)
    rows, labels, corpora = [], [], []
    for corpus, share in enumerate(mixtures):
        label = (chance.random(size) < share).astype(np.int64)
        telling = chance.normal(0, 1, size) + 2.0 * label
        rows.append(np.column_stack([telling, np.full(size, float(corpus > 0)), np.ones(size)]))
        labels.append(label)
        corpora.append(np.full(size, corpus))
    return Examples(np.vstack(rows), np.concatenate(labels), np.concatenate(corpora))


def test_the_mixture_of_a_corpus_is_not_learned_as_knowledge() -> None:
    examples = planted(1, (0.5, 0.97), 800)
    weights = fit(examples, np.zeros((3, 2)), pull=1e-3, seed_weight=1.0)
    telling = weights[0, 1] - weights[0, 0]
    habit = weights[1, 1] - weights[1, 0]
    assert telling > 1.0
    assert abs(habit) < 0.25 * telling


def test_what_the_data_say_nothing_about_keeps_its_prior() -> None:
    examples = planted(2, (0.5,), 400)
    silent = Examples(
        np.hstack([examples.rows, np.zeros((400, 1))]), examples.labels, examples.corpora
    )
    wanted = np.zeros((4, 2))
    wanted[3] = (-2.0, 2.0)
    found = fit(silent, wanted, pull=0.1, seed_weight=1.0)
    assert found[3] == pytest.approx(wanted[3])


def test_the_same_examples_give_the_same_weights() -> None:
    examples = planted(3, (0.5, 0.8), 200)
    one, other = (fit_apart(examples, np.zeros((3, 2)), Knobs(), signals_at=1) for _ in range(2))
    assert np.array_equal(one, other)


def test_meaning_and_signals_do_not_lean_on_each_other() -> None:
    examples = planted(6, (0.5, 0.8), 300)
    twice = examples._replace(rows=np.hstack([examples.rows[:, :1], examples.rows]))
    knobs = Knobs(pull=1e-3, meaning_pull=1e-3, meaning_weight=2.0, seed_weight=1.0)
    both = fit_apart(twice, np.zeros((4, 2)), knobs, signals_at=1)
    signals = fit(examples, np.zeros((3, 2)), pull=1e-3, seed_weight=1.0)
    assert both[1:3] == pytest.approx(signals[:2])
    assert both[0, 1] - both[0, 0] > 1.5 * (signals[0, 1] - signals[0, 0])


@pytest.mark.parametrize("wanted", [0.5, 1.0, 3.0])
def test_the_temperature_makes_probabilities_mean_what_they_say(wanted: float) -> None:
    chance = np.random.default_rng(4)
    honest = chance.normal(0, 2, (20_000, 3))
    chances = np.exp(honest) / np.exp(honest).sum(axis=1, keepdims=True)
    labels = (chance.random((20_000, 1)) > np.cumsum(chances, axis=1)).sum(axis=1)
    found = temperature(honest * wanted, labels, np.ones(20_000))
    assert found == pytest.approx(wanted, rel=0.1)


def heads(taxonomy: str = VERSION) -> Heads:
    return Heads(
        LinearHead(TOPICS, prior.topic_prior(), 1.5),
        LinearHead(TAGS, prior.tag_prior(), 2.0),
        np.full(len(TOPICS), 1 / len(TOPICS), dtype=np.float32),
        0.5,
        {"taxonomy": taxonomy, "version": "test"},
    )


def test_heads_are_read_as_they_were_written_and_written_alike(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    head.save(tmp_path / "a", heads())
    head.save(tmp_path / "b", heads())
    read = head.load(tmp_path / "a")
    assert np.allclose(read.topics.weights, prior.topic_prior())
    assert (read.topics.temperature, read.tags.temperature) == (1.5, 2.0)
    assert np.array_equal(read.usual, heads().usual)
    for name in (head.WEIGHTS, head.CARD):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_heads_of_other_labels_are_refused_with_a_hint(tmp_path: Path) -> None:
    head.save(tmp_path, heads(taxonomy="1999-01"))
    with pytest.raises(SetupMissing, match="other labels") as refused:
        head.load(tmp_path)
    assert "make train-classify" in refused.value.hint


def test_heads_that_are_torn_or_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupMissing):
        head.load(tmp_path)
    head.save(tmp_path, heads())
    weights = tmp_path / head.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(SetupMissing):
        head.load(tmp_path)


def test_the_heads_of_the_package_are_small_and_say_where_they_come_from() -> None:
    folder = Path(str(head.__file__)).parent
    assert (folder / head.WEIGHTS).stat().st_size < 1_000_000
    card = json.loads((folder / head.CARD).read_text(encoding="utf-8"))
    assert len(card["sources"]) >= 8
    for name, source in card["sources"].items():
        assert source["licence"] in LICENCES_THAT_LET_US_SHIP_WEIGHTS, name
        assert source["from"], name
    assert np.isfinite(head.load().topics.weights).all()


def test_every_signal_has_a_name_and_stays_within_its_bounds() -> None:
    for text in ("", "x", "def f():\n" * 300, "💥" * 700, "1" * 1_100, "```" * 300, "Ω≈ç√" * 99):
        found = signals(text)
        assert len(found) == len(NAMES) == len(set(NAMES))
        assert all(0.0 <= value <= 1.5 for value in found)
    assert WIDTH == SIGNALS_AT + len(NAMES) + 1
