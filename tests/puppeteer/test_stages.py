"""A training that was stopped goes on where it was, and its progress can be watched."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from outcome_folders import letters

from glasslipper.cli import run as run_command
from glasslipper.puppeteer import artefact
from glasslipper.puppeteer.encode import look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.outcomes import Floats
from glasslipper.puppeteer.policy import QUICK, Policy
from glasslipper.puppeteer.stages import Stages
from glasslipper.puppeteer.tensorboard import event, record


def vectors(texts: object) -> Floats:
    sizes = np.array([len(str(text)) for text in list(texts)], np.float32)  # type: ignore[call-overload]
    turned = np.stack([np.cos(sizes), np.sin(sizes)] * 20, axis=1)
    return (turned / np.linalg.norm(turned, axis=1, keepdims=True)).astype(np.float32)


class Stopper:
    """Hears of the progress, and stops the training the first time something is reported."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.learned: list[str] = []

    def __call__(self, what: str, done: int, todo: int, **figures: float) -> None:
        if what == self.at:
            self.at = ""
            raise KeyboardInterrupt
        if figures:
            self.learned.append(what)


@pytest.mark.parametrize("at", ["pool", "values", "tuning"])
def test_a_training_in_two_goes_ends_as_one_in_one_go(tmp_path: Path, at: str) -> None:
    outcomes = read(letters(tmp_path / "train", 160, seed=3))
    looks = look(outcomes.tasks, outcomes.candidates, vectors)
    stages, stopper = Stages(tmp_path / "stages"), Stopper(at)
    with pytest.raises(KeyboardInterrupt):
        Policy.train(outcomes, looks, seed=1, plan=QUICK, tell=stopper, stages=stages)
    stopper.learned.clear()
    again = Policy.train(outcomes, looks, seed=1, plan=QUICK, tell=stopper, stages=stages)
    assert "posterior" not in stopper.learned
    assert stages.spared_s > 0
    whole = Policy.train(outcomes, looks, seed=1, plan=QUICK, tell=Stopper(""))
    one, other = io.BytesIO(), io.BytesIO()
    artefact.save(again, one)
    artefact.save(whole, other)
    with np.load(io.BytesIO(one.getvalue())) as a, np.load(io.BytesIO(other.getvalue())) as b:
        assert a.files == b.files
        assert all(np.array_equal(a[name], b[name]) for name in a.files)


def test_a_stage_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    made = {"one": np.ones(3, np.float32)}
    stages.once("a", lambda: made)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:40])
    calls: list[int] = []

    def make() -> dict[str, Floats]:
        calls.append(1)
        return made

    assert np.array_equal(stages.once("a", make)["one"], made["one"])
    assert np.array_equal(stages.once("a", make)["one"], made["one"])
    assert calls == [1]
    stages.clear()
    assert not stages.begun


def test_the_same_command_goes_on_after_an_interrupt(tmp_path: Path) -> None:
    folder, home = letters(tmp_path / "train", 400, seed=5), tmp_path / "home"
    line = [sys.executable, "-m", "glasslipper", "puppeteer", "train", str(folder), "--quick"]
    line += ["--to", str(tmp_path / "policy.npz"), "--json"]
    models = os.environ.get("GLASSLIPPER_MODELS") or _models()
    env = {**os.environ, "GLASSLIPPER_HOME": str(home), "GLASSLIPPER_MODELS": models}
    first = subprocess.Popen(line, env=env, stderr=subprocess.PIPE, encoding="utf-8")
    unfinished = home / "puppeteer" / "unfinished"
    until_s = time.monotonic() + 300
    while not list(unfinished.glob("*/*.npz")):
        assert first.poll() is None
        assert time.monotonic() < until_s
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=300)
    assert first.returncode == 130
    assert "goes on where this one was" in said
    second = subprocess.run(
        line, env=env, capture_output=True, encoding="utf-8", timeout=600, check=True
    )
    assert "Going on where this training was stopped" in second.stderr
    assert json.loads(second.stdout)["card"]["tasks"] == 400
    assert not list(unfinished.glob("*"))


def _models() -> str:
    from glasslipper.store import places

    return str(places.models())


def test_events_are_written_as_tensorboard_writes_them() -> None:
    # The bytes are what tensorboardX 2.6.5 writes for the same two events.
    first = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
    second = (
        "2500000000000000eabc36f309000000000000024010ac022a170a150a0e706f73746572696f722f"
        "6c6f7373150000803e0ee55250"
    )
    assert record(event(1.5, version=b"brain.Event:2")).hex() == first
    assert record(event(2.25, step=300, tag="posterior/loss", value=0.25)).hex() == second


def test_a_training_may_be_watched_in_tensorboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, shown = letters(tmp_path / "train", 120, seed=6), tmp_path / "board"
    line = ["puppeteer", "train", str(folder), "--to", str(tmp_path / "p.npz"), "--quick", "--json"]
    assert run_command([*line, "--tensorboard", str(shown)]) == 0
    (path,) = shown.iterdir()
    told = path.read_bytes()
    for tag in (b"posterior/loss", b"values/error", b"tuning/reward"):
        assert tag in told
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run_command([*line, "--tensorboard", str(tmp_path / "file" / "x")]) == 1
    assert "cannot be written down" in capsys.readouterr().err
