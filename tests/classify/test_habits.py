"""What a workload usually asks helps with what is unclear, and no more than it should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslipper.classify import Classifier, habits
from glasslipper.classify.habits import Habits
from glasslipper.kernel.messages import Message, Request, TextPart

CLEAR = np.array([0.9, 0.05, 0.05], dtype=np.float32)
UNCLEAR = np.array([0.30, 0.36, 0.34], dtype=np.float32)
OPPOSED = np.array([0.01, 0.98, 0.01], dtype=np.float32)


def even(labels: int) -> np.ndarray:
    return np.full(labels, 1.0 / labels, dtype=np.float32)


def after(many: int, trust: float = 1.0) -> Habits:
    known = Habits(even(3), trust)
    for _ in range(many):
        known.apply("bot", CLEAR)
    return known


def test_an_unclear_request_is_taken_for_what_the_workload_usually_asks() -> None:
    assert UNCLEAR.argmax() == 1
    assert after(100).apply("bot", UNCLEAR).argmax() == 0


def test_a_clear_request_stays_what_it_is() -> None:
    assert after(100).apply("bot", OPPOSED).argmax() == 1


def test_a_workloads_first_request_is_judged_by_itself() -> None:
    assert after(0).apply("bot", UNCLEAR) == pytest.approx(UNCLEAR, abs=1e-6)


def test_workloads_do_not_touch_each_other() -> None:
    assert after(100).apply("other", UNCLEAR) == pytest.approx(UNCLEAR, abs=1e-6)


def test_without_trust_habits_say_nothing() -> None:
    assert after(100, trust=0.0).apply("bot", UNCLEAR) == pytest.approx(UNCLEAR, abs=1e-6)


def test_what_the_head_leans_to_is_not_taken_for_a_habit() -> None:
    leaning = np.array([0.6, 0.2, 0.2], dtype=np.float32)
    known = Habits(leaning, 1.0)
    for _ in range(500):
        told = known.apply("bot", leaning)
    assert told == pytest.approx(leaning, abs=1e-3)
    misled = Habits(even(3), 1.0)
    for _ in range(500):
        told = misled.apply("bot", leaning)
    assert told[0] > 0.9


def test_a_workload_may_change() -> None:
    known = after(20_000)
    for _ in range(40_000):
        known.apply("bot", OPPOSED)
    assert known.apply("bot", UNCLEAR).argmax() == 1


def test_the_mixture_of_a_workload_is_found_without_labels() -> None:
    chance = np.random.default_rng(5)
    truth = chance.choice(3, 4_000, p=(0.8, 0.15, 0.05))
    scores = chance.normal(0, 1.5, (4_000, 3)) + 2.0 * np.eye(3)[truth]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    known = Habits(even(3), 1.0)
    told = np.array([known.apply("bot", one.astype(np.float32)) for one in chances])
    alone = (chances.argmax(axis=1) == truth).mean()
    assert (told.argmax(axis=1) == truth).mean() > alone + 0.03


def test_the_workloads_not_seen_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(habits, "MOST_WORKLOADS", 10)
    known = after(100)
    for number in range(10):
        known.apply(f"one of many {number}", CLEAR)
    assert known.apply("bot", UNCLEAR) == pytest.approx(UNCLEAR, abs=1e-6)


@given(
    st.lists(st.lists(st.floats(1e-6, 1.0), min_size=4, max_size=4), min_size=1, max_size=60),
    st.floats(0.0, 1.0),
)
def test_probabilities_stay_probabilities(rows: list[list[float]], trust: float) -> None:
    known = Habits(even(4), trust)
    for row in rows:
        chances = np.array(row, dtype=np.float32)
        told = known.apply("bot", chances / chances.sum())
        assert np.isfinite(told).all()
        assert told.sum() == pytest.approx(1.0, abs=1e-4)
        assert told.min() >= 0.0


def test_a_request_is_labelled_alike_as_long_as_no_workload_is_told(classifier: Classifier) -> None:
    def label(text: str, workload: str | None) -> str | None:
        parts = (TextPart(text=text),)
        request = Request(model="any", messages=(Message(role="user", parts=parts),))
        return classifier.label(request, workload).task

    unclear = "the number is not right, can you look again"
    before = label(unclear, None)
    for _ in range(200):
        label("My bank card was declined and the transfer failed, where is my money?", "bank")
    assert label(unclear, "bank") == "finance"
    assert label(unclear, None) == before != "finance"
