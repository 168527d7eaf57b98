"""Signs of a program are found where there are some and not in prose."""

from __future__ import annotations

import pytest

from glasslipper.classify.codesigns import NAMES
from glasslipper.classify.signals import NAMES as SIGNALS
from glasslipper.classify.signals import signals

PROSE = (
    "I would like to say goodbye to my colleagues (all of them), what could I write? "
    "We worked together for ten years and I shall miss them."
)


def seen(text: str) -> dict[str, float]:
    return dict(zip(SIGNALS, signals(text), strict=True))


@pytest.mark.parametrize(
    ("sign", "text"),
    [
        ("many_names", "rename max_users and getUserName everywhere"),
        ("calls", "what does df.head(3) do"),
        ("trace", "it says NullPointerException at Main.java:14"),
        ("trace", "Traceback (most recent call last)"),
        ("shell", "after docker run -d it exits"),
        ("shell", "git rebase --interactive fails"),
        ("files", "read config.yaml first"),
        ("tags", 'why is <div class="card"> too wide'),
        ("query", "Select name FROM users"),
        ("assignments", "const limit = 3\ntotal += limit"),
        ("languages", "the same in kotlin or php please"),
        ("makes_code", "Write me a small Discord bot that greets"),
        ("mends_code", "Explain what this function returns"),
    ],
)
def test_a_sign_of_a_program_is_seen(sign: str, text: str) -> None:
    assert seen(text)[sign] > 0.0
    assert seen(PROSE)[sign] == 0.0


def test_prose_shows_no_sign_at_all() -> None:
    assert [name for name in NAMES if seen(PROSE)[name]] == []


def test_variables_between_dollars_are_no_formula() -> None:
    assert seen("$total = $price * $count; echo $total;")["latex"] == 0.0
    assert seen("it cost $5 and then $10")["latex"] == 0.0
    assert seen("Let $p$ be a prime")["latex"] == 1.0
    assert seen(r"\frac{1}{2}")["latex"] == 1.0
