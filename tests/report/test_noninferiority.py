"""The tests of "no worse than": they err as rarely as they say, and find what is there."""

import random

import pytest

from glasslipper.report.noninferiority import Stratum, Verdict, of_pairs, of_rewards

MARGIN = 0.05


def drawn(rng: random.Random, cheap: float, dear: float, *, workloads: int = 12) -> Verdict:
    """Reward both models in workloads of which some are harder, the cheap one in few of them."""
    strata: list[Stratum] = []
    for number in range(workloads):
        harder = 0.08 * (number % 3 - 1)
        n_cheap, n_dear = rng.randint(5, 30), rng.randint(30, 90)
        strata.append(
            Stratum(
                cheap=n_cheap,
                cheap_good=sum(rng.random() < cheap - harder for _ in range(n_cheap)),
                dear=n_dear,
                dear_good=sum(rng.random() < dear - harder for _ in range(n_dear)),
            )
        )
    verdict = of_rewards(strata, MARGIN)
    assert verdict is not None
    return verdict


@pytest.mark.parametrize(("cheap", "dear"), [(0.80, 0.80), (0.75, 0.85), (0.88, 0.80)])
def test_nineteen_of_twenty_intervals_hold_the_true_difference(cheap: float, dear: float) -> None:
    rng = random.Random(f"{cheap}{dear}")
    held = sum(drawn(rng, cheap, dear).behind.covers(cheap - dear) for _ in range(600))
    assert 0.925 <= held / 600 <= 0.98


def test_a_model_right_at_the_margin_is_let_through_one_time_in_twenty() -> None:
    rng = random.Random(1)
    passed = sum(drawn(rng, 0.80, 0.85).p_value < 0.05 for _ in range(800))
    assert 0.02 <= passed / 800 <= 0.075


def test_a_model_that_is_as_good_is_found_where_there_are_enough_rewards() -> None:
    rng = random.Random(2)
    passed = sum(drawn(rng, 0.88, 0.88, workloads=40).p_value < 0.05 for _ in range(100))
    assert passed >= 80


def test_being_given_the_easy_workloads_is_no_merit() -> None:
    easy = Stratum(cheap=300, cheap_good=285, dear=20, dear_good=20)
    hard = Stratum(cheap=20, cheap_good=6, dear=300, dear_good=150)
    verdict = of_rewards([easy, hard], MARGIN)
    assert verdict is not None
    assert verdict.behind.value < -0.1  # although 91 % of its answers were accepted, against 53 %
    assert verdict.p_value > 0.5


def test_no_workload_with_both_models_shows_nothing() -> None:
    alone = [Stratum(cheap=50, cheap_good=50, dear=0, dear_good=0)]
    assert of_rewards(alone, MARGIN) is None
    assert of_pairs(0, 0, 0, MARGIN) is None


def test_perfect_scores_of_few_answers_are_no_proof() -> None:
    few = of_rewards([Stratum(cheap=12, cheap_good=12, dear=12, dear_good=12)], MARGIN)
    many = of_rewards([Stratum(cheap=400, cheap_good=400, dear=400, dear_good=400)], MARGIN)
    assert few is not None
    assert many is not None
    assert few.p_value > 0.05 > many.p_value
    assert few.behind.low < -MARGIN < many.behind.low


@pytest.mark.parametrize(("win", "lose"), [(0.1, 0.1), (0.02, 0.12), (0.0, 0.05)])
def test_intervals_of_pairs_hold_the_true_difference(win: float, lose: float) -> None:
    rng = random.Random(f"{win}{lose}")
    held = 0
    for _ in range(600):
        draws = [rng.random() for _ in range(150)]
        better = sum(one < win for one in draws)
        worse = sum(win <= one < win + lose for one in draws)
        verdict = of_pairs(better, worse, len(draws), MARGIN)
        assert verdict is not None
        held += verdict.behind.covers(win - lose)
    assert 0.925 <= held / 600 <= 0.985


def test_pairs_at_the_margin_are_let_through_one_time_in_twenty() -> None:
    rng = random.Random(3)
    passed = 0
    for _ in range(1_000):
        draws = [rng.random() for _ in range(200)]
        better = sum(one < 0.06 for one in draws)
        worse = sum(0.06 <= one < 0.17 for one in draws)
        verdict = of_pairs(better, worse, len(draws), MARGIN)
        assert verdict is not None
        passed += verdict.p_value < 0.05
    assert 0.02 <= passed / 1_000 <= 0.075
