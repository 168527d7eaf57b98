"""Learning from logs of one chosen action: propensities, estimates, alarms and the switch back."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from outcome_folders import letters

from glasslipper.cli import run as run_command
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.kernel.ports import Opening
from glasslipper.puppeteer import learning, versions
from glasslipper.puppeteer.bandit import Bandit, Way
from glasslipper.puppeteer.drift import Alarm
from glasslipper.puppeteer.guide import LADDER
from glasslipper.puppeteer.learned import Learned
from glasslipper.puppeteer.linear import FEATURES, Card, Linear
from glasslipper.puppeteer.metrics import Judged as Scored
from glasslipper.puppeteer.metrics import Score, Table, hull_area, interval, saving_on
from glasslipper.puppeteer.offpolicy import Logs, doubly_robust, gain, ips, reward_model, snips
from glasslipper.puppeteer.pictures import front
from glasslipper.puppeteer.repertoire import Repertoire
from glasslipper.puppeteer.traffic import Judged


def world(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts, and the chance that each of three models is right in them."""
    draw = np.random.default_rng(seed)
    contexts = np.concatenate([draw.normal(size=(count, 3)), np.ones((count, 1))], axis=1)
    chance = 1 / (1 + np.exp(-contexts @ draw.normal(size=(4, 3))))
    return contexts, chance


def logged(count: int, seed: int) -> tuple[Logs, np.ndarray]:
    contexts, chance = world(count, seed)
    draw = np.random.default_rng(seed + 1)
    chances = np.full((count, 3), 0.1)
    chances[np.arange(count), draw.integers(3, size=count)] += 0.7
    chosen = (chances.cumsum(1) > draw.random((count, 1))).argmax(1)
    at = np.arange(count)
    reward = (draw.random(count) < chance[at, chosen]).astype(float)
    return Logs(contexts, chosen, chances[at, chosen], reward, 3), chance


@pytest.mark.parametrize("way", ["thompson", "linucb"])
def test_a_bandit_finds_the_right_models_and_tells_its_chances(way: Way) -> None:
    contexts, chance = world(4000, 5)
    draw = np.random.default_rng(6)
    bandit = Bandit(3, 4, way=way, ridge=20.0)
    for start in range(0, 4000, 100):
        told = contexts[start : start + 100]
        chances = bandit.chances(told)
        assert np.allclose(chances.sum(1), 1)
        assert chances.min() >= bandit.floor - 1e-9
        chosen, chosen_chance = bandit.choose(told, draw)
        assert (chosen_chance > 0).all()
        reward = (draw.random(100) < chance[start : start + 100][np.arange(100), chosen]) * 1.0
        bandit.learn(told, chosen, reward)
    greedy = bandit.expected(contexts).argmax(1)
    reached = chance[np.arange(4000), greedy].mean()
    assert reached > chance.mean(0).max()
    assert reached > 0.95 * chance.max(1).mean()


def test_estimates_are_near_the_truth_and_the_robust_one_is_the_narrowest() -> None:
    inside, widths = {"ips": 0, "snips": 0, "dr": 0}, {"ips": 0.0, "snips": 0.0, "dr": 0.0}
    for seed in range(40):
        logs, chance = logged(2000, 100 + seed)
        policy = np.random.default_rng(seed).dirichlet(np.ones(3), 2000)
        truth = float((policy * chance).sum(1).mean())
        told = {
            "ips": ips(logs, policy),
            "snips": snips(logs, policy),
            "dr": doubly_robust(logs, policy, reward_model(logs)),
        }
        for name, one in told.items():
            inside[name] += one.low <= truth <= one.high
            widths[name] += one.high - one.low
    assert min(inside.values()) >= 35
    assert widths["dr"] < widths["ips"]


def test_a_better_policy_has_a_lower_bound_above_nothing_and_a_worse_one_not() -> None:
    logs, chance = logged(6000, 7)
    best = np.eye(3)[chance.argmax(1)]
    worst = np.eye(3)[chance.argmin(1)]
    expected = reward_model(logs)
    assert gain(logs, best, worst, expected).low > 0
    assert gain(logs, worst, best, expected).low < 0


def test_the_alarm_rings_for_a_fall_and_not_for_noise() -> None:
    draw = np.random.default_rng(8)
    alarm = Alarm()
    assert not any(alarm.hear("m", float(draw.random() < 0.8), 0.8) for _ in range(3000))
    rings = [alarm.hear("m", float(draw.random() < 0.55), 0.8) for _ in range(400)]
    assert any(rings)
    assert not alarm.hear("other", 0.0, 0.8)


def test_one_switch_brings_back_what_ran_before(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    assert versions.read(folder).running == ""
    versions.promote(folder, "first.npz")
    versions.watch(folder, "second.npz")
    assert versions.read(folder).shadow == "second.npz"
    assert versions.promote(folder, "second.npz").shadow == ""
    assert versions.switch_back(folder).running == "first.npz"
    assert versions.switch_back(folder).running == ""
    assert versions.switch_back(folder).running == ""
    (folder / "versions.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="damaged"):
        versions.read(folder)


def test_versions_of_a_newer_program_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / versions.FILE).write_text('{"format": 99, "running": "x"}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="newer version"):
        versions.promote(tmp_path, "first.npz")
    (tmp_path / versions.FILE).unlink()
    (tmp_path / versions.FILE).mkdir()
    with pytest.raises(InvalidRequest, match="damaged"):
        versions.read(tmp_path)


def test_who_promotes_and_watches_at_once_loses_nothing(tmp_path: Path) -> None:
    names = [f"{number}.npz" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: versions.promote(tmp_path, name), names))
    now = versions.read(tmp_path)
    assert sorted([*now.history, now.running]) == sorted(["", *names])
    assert versions.promote(tmp_path, "late.npz", over="somebody.npz").running == now.running
    assert versions.read(tmp_path).shadow == "late.npz"


def test_two_that_learn_at_once_learn_two_policies(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        rows = [judged(better=0.35, seed=seed) for seed in (21, 22)]
        lessons = list(pool.map(lambda some: learning.learn(some, tmp_path), rows))
    assert {one.version for one in lessons} == {"learned-1.json", "learned-2.json"}
    first = next(one for one in lessons if one.version == "learned-1.json")
    second = next(one for one in lessons if one.version == "learned-2.json")
    assert "ladder.1" in first.why
    assert "learned-1" in second.why


def test_a_policy_is_not_learned_over_one_that_decides_every_step(
    tmp_path: Path, outcomes_policy: Path
) -> None:
    versions.promote(tmp_path, outcomes_policy.name)
    (tmp_path / outcomes_policy.name).write_bytes(outcomes_policy.read_bytes())
    lesson = learning.learn(judged(better=0.35), tmp_path)
    assert not lesson.promoted
    assert "cannot be compared" in lesson.why


@pytest.fixture
def outcomes_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that was trained on an outcome folder, by the command that does so."""
    folder = tmp_path_factory.mktemp("outcomes")
    path = folder / "policy.npz"
    line = ["puppeteer", "train", str(letters(folder / "train", 150, seed=3)), "--quick"]
    assert run_command([*line, "--to", str(path), "--json"]) == 0
    return path


def test_a_policy_promoted_under_a_name_that_is_taken_leaves_the_other_to_go_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    path = tmp_path / "policy.json"

    def promoted(version: str) -> str:
        card = Card(policy=version)
        Linear([], np.zeros((1, len(FEATURES))), card=card).save(path)
        assert run_command(["puppeteer", "promote", str(path), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["running"]

    def running() -> str:
        found = Repertoire(tmp_path / "home" / "puppeteer")
        found.refresh()
        return found.running.version

    assert promoted("one@1") == promoted("one@1") == "policy.json"
    assert promoted("two@1") == "policy-2.json"
    assert running() == "two@1"
    assert run_command(["puppeteer", "back"]) == 0
    assert running() == "one@1"


def test_the_hull_forgives_no_dip_and_the_saving_is_that_of_the_cheapest() -> None:
    points = [(1.0, 0.5), (2.0, 0.4), (3.0, 0.9)]
    assert hull_area(points, 1.0, 3.0) == pytest.approx(0.7, abs=1e-3)
    assert saving_on(points, 0.5, 4.0) == pytest.approx(0.75)
    assert np.isnan(saving_on(points, 0.95, 4.0))
    assert np.isnan(saving_on(points, 0.5, 0.0))


def test_intervals_are_paired_and_a_question_in_two_splits_counts_as_one() -> None:
    draw = np.random.default_rng(9)
    right = (draw.random(500) < 0.7).astype(float)
    better = np.maximum(right, draw.random(500) < 0.1)
    ids = tuple(map(str, range(500)))
    one = Scored(ids, {"a": Score(right, right), "b": Score(better, right)})
    table = Table([one])
    low, high = interval(table.accuracy["b"] - table.accuracy["a"])
    assert 0 < low < high < 0.06
    twice = Table([one, one])
    assert interval(twice.accuracy["a"]) == pytest.approx(interval(table.accuracy["a"]))


def test_a_picture_is_svg_with_its_words_escaped() -> None:
    drawn = front("a <b>", {"ours": [(0.1, 50.0), (1.0, 70.0)]}, {"x & y": [(0.5, 60.0)]})
    assert "a &lt;b&gt;" in drawn
    assert "x &amp; y" in drawn
    assert drawn.count("<polyline") == 1


def test_names_in_a_picture_lie_apart_and_what_costs_nothing_is_drawn() -> None:
    crowd = {f"policy {number}": [(1 + number / 50, 70 + number / 10)] for number in range(6)}
    drawn = front("crowd", {}, {**crowd, "free": [(0.0, 40.0)]})
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*anchor="(\w+)">policy', drawn)
    lefts = [float(x) - (50 if side == "end" else 0) for x, _, side in found]
    places = list(zip(lefts, [float(y) for _, y, _ in found], strict=True))
    assert len(places) == 6
    for (left, top), (other, below) in combinations(places, 2):
        assert abs(left - other) >= 50 or abs(top - below) >= 12
    assert ">free<" in drawn
    assert "<circle" in front("free", {}, {"free": [(0.0, 40.0)]})


def judged(*, better: float, count: int = 1500, seed: int = 21) -> list[Judged]:
    """Openings by chance; on short tasks `good` is right more often by `better`, else `plain`."""
    draw = np.random.default_rng(seed)
    made: list[Judged] = []
    for number in range(count):
        is_short = bool(number % 2)
        chances = {"good": 0.3, "plain": 0.7}
        chosen = "good" if draw.random() < chances["good"] else "plain"
        is_able = (chosen == "good") == is_short
        opening = Opening(
            seen={"length": float(is_short), "thrift": 1.0},
            chances=chances,
            costs={"good": 1000, "plain": 1000},
            chosen=chosen,
            rule="plain",
            goes_on=LADDER,
        )
        right = draw.random() < 0.5 + (better if is_able else 0.0)
        made.append(Judged(policy=LADDER, opening=opening, reward=float(right), usd=1e-6))
    return made


def test_what_is_surely_better_runs_and_has_to_be_beaten_next(tmp_path: Path) -> None:
    lesson = learning.learn(judged(better=0.35), tmp_path)
    assert lesson.promoted
    assert lesson.gain is not None
    assert 0.08 < lesson.gain.value < 0.26  # on short tasks, which are half, 0.35 better
    assert versions.read(tmp_path).running == lesson.version == "learned-1.json"
    again = learning.learn(judged(better=0.35, seed=22), tmp_path)
    assert again.gain is not None
    assert again.gain.value < 0.08
    assert again.over_rule is not None
    assert again.over_rule.low > 0


@pytest.mark.parametrize("way", ["thompson", "linucb"])
def test_a_learned_policy_is_saved_and_tries_models_that_it_has_never_seen(
    tmp_path: Path, way: Way
) -> None:
    learning.learn(judged(better=0.35), tmp_path, way=way)
    policy = Learned.load(tmp_path / "learned-1.json")
    costs = {"good": 1000, "plain": 1000}
    short, long = ({"length": one, "thrift": 1.0} for one in (1.0, 0.0))
    assert policy.chances(short, costs)["good"] > 0.9
    assert policy.chances(long, costs)["plain"] > 0.9
    cold = policy.chances(short, {**costs, "new": 1000})
    assert cold["new"] >= 0.02
    assert sum(cold.values()) == pytest.approx(1)
    (tmp_path / "learned-1.json").write_text('{"kind": "learned"}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="not a learned policy"):
        Learned.load(tmp_path / "learned-1.json")


def test_a_dear_model_must_be_worth_its_price(tmp_path: Path) -> None:
    learning.learn(judged(better=0.2), tmp_path, price=100.0)
    policy = Learned.load(tmp_path / "learned-1.json")
    seen = {"length": 1.0, "thrift": 1.0}
    dear = {"good": 50_000_000, "plain": 1000}  # 5 cents: 5 points of reward at this price, or 500
    assert policy.chances(seen, dear)["good"] < 0.1
    assert policy.chances({**seen, "thrift": 0.0}, dear)["good"] > 0.9


def test_a_model_whose_rewards_fall_is_named(tmp_path: Path) -> None:
    rows = judged(better=0.3, count=2000)
    assert learning.learn(rows, tmp_path / "calm").alarms == ()
    fallen = [
        structs.replace(one, reward=0.0) if one.opening.chosen == "plain" else one
        for one in rows[1300:]
    ]
    assert learning.learn(rows[:1300] + fallen, tmp_path / "fallen").alarms == ("plain",)


def test_what_is_no_better_is_watched_and_hardly_ever_runs(tmp_path: Path) -> None:
    promoted = 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        lesson = learning.learn(judged(better=0.0, count=400, seed=seed), folder)
        promoted += lesson.promoted
        assert (versions.read(folder).shadow == lesson.version) != lesson.promoted
    assert promoted <= 4


def test_all_nights_together_risk_no_more_than_one(tmp_path: Path) -> None:
    assert sum(map(learning.risk_of, range(1, 10_000))) <= learning.RISK
    nights = [
        learning.learn(judged(better=0.0, count=300, seed=seed), tmp_path) for seed in range(4)
    ]
    assert not any(night.promoted for night in nights)
    assert [night.risk for night in nights] == [learning.risk_of(look) for look in range(1, 5)]
    wide = [night.gain.value - night.gain.low for night in nights if night.gain]
    assert wide[3] > 1.2 * wide[0]
    better = learning.learn(judged(better=0.35), tmp_path)
    assert (better.promoted, better.risk) == (True, learning.risk_of(5))
    assert versions.read(tmp_path).tried == 0
    assert versions.watch(tmp_path, "x.npz", tried=True).tried == 1
    assert versions.switch_back(tmp_path).tried == 0


def test_what_chance_never_opened_is_not_judged(tmp_path: Path) -> None:
    rows = [
        structs.replace(
            one, opening=structs.replace(one.opening, chances={one.opening.chosen: 1.0})
        )
        for one in judged(better=0.35)
    ]
    lesson = learning.learn(rows, tmp_path)
    assert not lesson.promoted
    assert lesson.gain is None
    assert "auto_explore" in lesson.why


def test_old_candidates_that_never_ran_are_removed(tmp_path: Path) -> None:
    versions.promote(tmp_path, learning.learn(judged(better=0.0, count=300), tmp_path).version)
    for _ in range(12):
        learning.learn(judged(better=0.0, count=300), tmp_path)
    left = {path.name for path in tmp_path.glob("learned-*.json")}
    assert left == {"learned-1.json", *(f"learned-{number}.json" for number in range(4, 14))}
