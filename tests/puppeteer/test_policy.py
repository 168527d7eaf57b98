"""The trained policy: it learns, sees only what it has asked for, and can be kept in a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcome_folders import answers, letters

from glasslipper.cli import run as run_command
from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer import artefact
from glasslipper.puppeteer.baselines import Peers
from glasslipper.puppeteer.encode import Looks, Scale, look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.net import backward, dense, forward
from glasslipper.puppeteer.outcomes import Floats, Outcomes, Task
from glasslipper.puppeteer.paper import STEPS, Paper
from glasslipper.puppeteer.policy import (
    QUICK,
    Dial,
    Policy,
    _named,  # pyright: ignore[reportPrivateUsage]
    rising,
)
from glasslipper.puppeteer.posterior import see


def silent(what: str, done: int, todo: int, **figures: float) -> None:
    """Hear nothing."""
    del what, done, todo, figures


def vectors(texts: object) -> Floats:
    """Vectors that say nothing of their texts but how long they are."""
    sizes = np.array([len(str(text)) for text in list(texts)], np.float32)  # type: ignore[call-overload]
    turned = np.stack([np.cos(sizes), np.sin(sizes)] * 20, axis=1)
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


def seen(outcomes: Outcomes) -> Looks:
    return look(outcomes.tasks, outcomes.candidates, vectors)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return read(letters(tmp_path_factory.mktemp("train"), 700, seed=11))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return read(letters(tmp_path_factory.mktemp("test"), 600, seed=12, first=5000))


@pytest.fixture(scope="module")
def policy(train: Outcomes) -> Policy:
    return Policy.train(train, seen(train), seed=1, plan=QUICK, tell=silent)


def test_some_dial_is_as_good_as_the_best_model_for_much_less(
    policy: Policy, fresh: Outcomes
) -> None:
    prices = [policy.price(dial) for dial in np.linspace(0, 10, 41)]
    played = policy.play(fresh, seen(fresh), prices)
    right = fresh.right[:, 0].mean() - 0.03
    good = [one.usd(fresh).mean() for one in played if one.right(fresh).mean() >= right]
    assert min(good) < 0.8 * fresh.usd[:, 0].mean()


def test_the_dial_buys_accuracy_with_money(policy: Policy, fresh: Outcomes) -> None:
    cheap, dear = policy.play(fresh, seen(fresh), [policy.price(0), policy.price(10)])
    assert cheap.usd(fresh).mean() < dear.usd(fresh).mean()
    assert cheap.right(fresh).mean() < dear.right(fresh).mean()


def test_who_is_right_in_the_test_part_changes_nothing(policy: Policy, fresh: Outcomes) -> None:
    wrong = replace(fresh, right=~fresh.right, truth=(fresh.truth + 1) % 4)
    (one,) = policy.play(fresh, seen(fresh), [policy.price(5)])
    (other,) = policy.play(wrong, seen(wrong), [policy.price(5)])
    assert np.array_equal(one.called, other.called)
    assert np.array_equal(one.returned, other.returned)


def test_answers_that_were_not_asked_for_change_nothing(policy: Policy, fresh: Outcomes) -> None:
    (one,) = policy.play(fresh, seen(fresh), [policy.price(5)])
    draw = np.random.default_rng(0)
    other_said = draw.integers(0, 4, fresh.said.shape)
    hidden = replace(
        fresh,
        said=np.where(one.called, fresh.said, other_said),
        chars=np.where(one.called, fresh.chars, 7),
    )
    (other,) = policy.play(hidden, seen(hidden), [policy.price(5)])
    assert np.array_equal(one.called, other.called)
    assert np.array_equal(one.returned, other.returned)


def test_open_tasks_show_no_candidate_that_nobody_asked_has_named(tmp_path: Path) -> None:
    outcomes = read(answers(tmp_path, 300, seed=13))
    policy = Policy.train(outcomes, seen(outcomes), seed=1, plan=QUICK, tell=silent)
    tasks = policy.scale.encode(outcomes, seen(outcomes))
    called = np.zeros(outcomes.said.shape, np.bool_)
    called[:, 1] = True
    shown = see(tasks, called)
    assert (shown.exists[:, 1:].sum(1) == 1).all()
    (one,) = policy.play(outcomes, seen(outcomes), [policy.named["even"]])
    assert one.right(outcomes).mean() > outcomes.right[:, 1].mean()


def test_one_episode_decides_as_many_at_once_do(policy: Policy, fresh: Outcomes) -> None:
    price = policy.price(5)
    (played,) = policy.play(fresh, seen(fresh), [price])
    tasks = policy.scale.encode(fresh, seen(fresh))
    for row in range(25):
        episode = policy.episode(tasks.rows(np.array([row])))
        while (model := episode.decide(price)) is not None:
            episode.hear(model)
        assert np.array_equal(episode.called, played.called[row])


def test_a_policy_comes_back_from_its_file_as_it_was(
    policy: Policy, fresh: Outcomes, tmp_path: Path
) -> None:
    path = tmp_path / "policy.npz"
    artefact.save(policy, path, card={"tasks": 3})
    again, card = artefact.load(path)
    assert card == {"tasks": 3}
    prices = [policy.price(dial) for dial in (0, 5, 10)]
    for one, other in zip(
        policy.play(fresh, seen(fresh), prices), again.play(fresh, seen(fresh), prices), strict=True
    ):
        assert np.array_equal(one.called, other.called)
    assert path.stat().st_size < 30e6


def test_a_file_that_is_no_policy_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "policy.npz"
    for content in (b"", b"PK\x03\x04 cut", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(InvalidRequest, match="not a policy"):
            artefact.load(path)
    np.savez(path, about=np.array(json.dumps({"format": 99})))
    with pytest.raises(InvalidRequest, match="format 99"):
        artefact.load(path)


def test_the_paper_asks_a_few_models_and_each_once(train: Outcomes, fresh: Outcomes) -> None:
    scale = Policy.train(train, seen(train), seed=1, plan=QUICK, tell=silent).scale
    peers = Peers.fit(train, seen(train).vectors, seed=1)
    tasks = scale.encode(train, seen(train))
    paper = Paper.train(train, tasks, seed=1, weights=peers.weights, tell=silent, passes=1)
    played = paper.play(fresh, scale.encode(fresh, seen(fresh)), seed=1)
    assert played.called.any(1).all()
    assert played.called.sum(1).max() <= STEPS
    assert (played.returned >= -1).all()


def test_the_paper_learns_to_ask_the_one_model_that_is_right() -> None:
    count, models = 400, ("a", "b", "c", "d")
    options = ("red", "green", "blue", "grey")
    world = Outcomes(
        models=models,
        tasks=tuple(
            Task(id=str(number), kind="", text=f"Task {number}?", options=options)
            for number in range(count)
        ),
        candidates=(options,) * count,
        said=np.tile(np.arange(4), (count, 1)),
        right=np.tile(np.arange(4) == 2, (count, 1)),
        chars=np.full((count, 4), 50),
        usd=np.full((count, 4), 0.001),
        truth=np.full(count, 2),
    )
    looks = seen(world)
    tasks = Scale.fit(world, looks, unit_usd=world.unit_usd).encode(world, looks)
    paper = Paper.train(world, tasks, seed=1, weights=np.ones(4), tell=silent, passes=6)
    played = paper.play(world, tasks, seed=2)
    assert played.called[:, 2].mean() > 0.95
    assert played.called.sum(1).mean() < 2


def test_gradients_are_those_of_the_loss() -> None:
    draw = np.random.default_rng(3)
    own = {name: a.astype(np.float64) for name, a in dense((5, 7, 2), draw).items()}
    own["W1"] = draw.normal(size=(7, 2))
    inputs, wanted = draw.normal(size=(9, 5)), draw.normal(size=(9, 2))

    def loss() -> float:
        return float(((forward(own, inputs)[-1] - wanted) ** 2).sum() / 2)  # type: ignore[arg-type]

    told = forward(own, inputs)  # type: ignore[arg-type]
    gradients, _ = backward(own, told, told[-1] - wanted)  # type: ignore[arg-type]
    for name in own:
        place = tuple(0 for _ in own[name].shape)
        kept = own[name][place]
        own[name][place] = kept + 1e-6
        above = loss()
        own[name][place] = kept - 1e-6
        below = loss()
        own[name][place] = kept
        assert gradients[name][place] == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-6)


def test_the_commands_bench_train_replay_explain_and_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = str(letters(tmp_path / "train", 300, seed=14))
    test = str(letters(tmp_path / "test", 120, seed=15, first=9000))
    picture = tmp_path / "front.svg"
    log = tmp_path / "log.jsonl"
    line = ["puppeteer", "bench", "--train", train, "--test", test, "--json"]
    line.append("--quick")
    assert run_command([*line, "--picture", str(picture), "--log", str(log)]) == 0
    figures = json.loads(capsys.readouterr().out)
    wanted = {"random", "best_single", "vote_equal_spend", "knn", "kmeans", "category_best"}
    wanted |= {"agree_else_ask", "paper", "oracle", "ours_saving", "ours_even", "ours_best"}
    assert wanted <= set(figures["policies"])
    assert figures["policies"]["oracle"]["accuracy"] == pytest.approx(1 - figures["all_wrong"])
    assert figures["artefact_bytes"] < 30e6
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert all(json.loads(entry)["what"] for entry in log.read_text("utf-8").splitlines())

    kept = str(tmp_path / "policy.npz")
    line = ["puppeteer", "train", train, "--to", kept, "--quick", "--json"]
    log, pictures = tmp_path / "train.jsonl", tmp_path / "pictures"
    assert run_command([*line, "--log", str(log), "--pictures", str(pictures)]) == 0
    drawn = {path.name: path.read_text("utf-8") for path in pictures.iterdir()}
    assert set(drawn) == {
        f"learning-{name}.svg" for name in ("posterior-loss", "values-error", "tuning-reward")
    }
    assert drawn["learning-posterior-loss.svg"].count("<polyline") == QUICK.folds * QUICK.each
    assert json.loads(capsys.readouterr().out)["card"]["tasks"] == 300
    assert run_command(["puppeteer", "replay", kept, test, "--dial", "7", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["accuracy"] < 1
    assert run_command(["puppeteer", "explain", kept, test, "9000", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert steps[-1]["stop"]
    assert steps[0]["ask"]
    assert run_command(["puppeteer", "card", kept]) == 0
    assert "300 tasks" in capsys.readouterr().out


@pytest.mark.parametrize("free", [("made/sage",), ("made/sage", "made/clerk", "made/parrot")])
def test_a_bench_of_models_that_cost_nothing_prints_no_figure_that_json_cannot_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], free: tuple[str, ...]
) -> None:
    folders = [
        letters(tmp_path / "train", 200, seed=14),
        letters(tmp_path / "test", 60, seed=15, first=9000),
    ]
    for folder in folders:
        path = folder / "prices.csv"
        head, *rows = path.read_text(encoding="utf-8").splitlines()
        priced = [f"{row.split(',')[0]},0,0" if row.split(",")[0] in free else row for row in rows]
        path.write_text("\n".join([head, *priced]), encoding="utf-8")
    line = ["puppeteer", "bench", "--train", str(folders[0]), "--test", str(folders[1]), "--quick"]
    assert run_command([*line, "--json", "--picture", str(tmp_path / "front.svg")]) == 0

    def refuse(name: str) -> float:
        raise ValueError(name)

    figures = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert figures["cost_save"] is None
    assert figures["policies"]["best_single"]["usd_per_1k"] == 0
    assert 0 < figures["policies"]["ours_even"]["accuracy"] <= 1


def test_a_pool_of_one_and_a_model_that_is_not_there_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["puppeteer", "train", str(letters(tmp_path / "train", 150, seed=14)), "--json"]
    alone = ["--without", "made/clerk", "--without", "made/parrot"]
    assert run_command([*line, *alone]) == 1
    assert "only made/sage" in capsys.readouterr().err
    assert run_command([*line, "--without", "made/nobody"]) == 2
    assert "made/clerk" in capsys.readouterr().err


def test_a_pool_whose_best_model_is_its_cheapest_has_a_vote_too(train: Outcomes) -> None:
    clerk = train.models.index("made/clerk")
    right = train.right.copy()
    right[:, clerk] = True
    for count in range(100, 160):  # the sum's last binary digit depends on how many there are
        some = replace(train, right=right).rows(np.arange(count))
        peers = Peers.fit(some, vectors(range(count)), seed=1)
        assert peers.best == clerk
        assert peers.voters == (clerk,)


@pytest.mark.parametrize("answered", [0, 3])
def test_a_training_part_that_nobody_answered_is_refused_and_one_hardly_answered_is_not(
    train: Outcomes, answered: int
) -> None:
    said = np.full_like(train.said, -1)
    said[:answered] = train.said[:answered]
    some = replace(train, said=said, right=train.right & (said >= 0)).rows(np.arange(200))
    if answered:
        made = Policy.train(some, seen(some), seed=1, plan=QUICK, tell=silent)
        assert np.isfinite([dial.usd for dial in made.dials]).all()
        return
    with pytest.raises(InvalidRequest, match="can be read"):
        Policy.train(some, seen(some), seed=1, plan=QUICK, tell=silent)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_what_is_smoothed_never_falls_and_keeps_its_mean(values: list[float]) -> None:
    told = rising(values)
    assert (np.diff(told) >= -1e-12).all()
    assert told.mean() == pytest.approx(np.mean(values), abs=1e-9)
    assert np.allclose(rising(sorted(values)), sorted(values))


def test_a_lucky_dial_is_not_chosen_for_its_luck() -> None:
    right = [0.5, 0.6, 0.74, 0.66, 0.7, 0.72, 0.71]
    dials = [Dial(1.0 / 2**step, one, 0.2 * step) for step, one in enumerate(right)]
    named = _named(dials, 0.69, 1.0)
    assert named["saving"] == pytest.approx(dials[2].price, rel=0.1)  # by luck it were 0.32
    assert named["best"] == dials[5].price  # by luck it were that of step 2
    assert named["even"] == pytest.approx(dials[5].price, rel=0.15)


def test_a_bench_without_a_folder_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = str(letters(tmp_path / "train", 20, seed=16))
    line = ["puppeteer", "bench", "--train", train, "--test", str(tmp_path / "none"), "--json"]
    assert run_command(line) == 1
    assert "no folder" in json.loads(capsys.readouterr().err)["error"]["message"]
