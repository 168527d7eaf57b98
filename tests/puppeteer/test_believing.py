"""A policy trained on outcome folders, served: a real gateway does what replay says."""

from __future__ import annotations

import csv
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from outcome_folders import MODELS, letters
from recorder import Recorder

from glasslipper.cli import puppeteering
from glasslipper.cli import run as run_command
from glasslipper.puppeteer import artefact
from glasslipper.puppeteer.believing import letter_in, question_in
from glasslipper.puppeteer.encode import look
from glasslipper.puppeteer.folder import read
from glasslipper.testing.served import Served
from sdk_clients import openai_client

TASKS = 30


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", 1),
        ("(C)", 2),
        ("The answer is (D).", 3),
        ("It was A at first. The answer is C", 2),
        ("**Answer: B**", 1),
        ("B. green", 1),
        ("I do not know", -1),
        ("", -1),
    ],
)
def test_the_letter_of_an_answer_is_found(said: str, letter: int) -> None:
    assert letter_in(said, 4) == letter


def test_the_options_of_a_question_are_found() -> None:
    found = question_in("Which one? A trick.\n(A) red\n(B) green\n(C) blue\nAnswer with a letter.")
    assert found.text == "Which one? A trick."
    assert found.options == ("red", "green", "blue")
    assert question_in("A. Einstein was born when?").options == ()


def prompt(question: str, options: tuple[str, ...]) -> str:
    lines = [f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True)]
    return "\n".join([question, *lines])


def test_a_promoted_policy_asks_and_answers_as_it_does_in_replay(
    tmp_path: Path, models_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLASSLIPPER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GLASSLIPPER_MODELS", str(models_folder))
    train = letters(tmp_path / "train", 500, seed=31)
    fresh = read(letters(tmp_path / "fresh", TASKS, seed=32, first=7000))
    kept = tmp_path / "asker.npz"
    line = ["puppeteer", "train", str(train), "--to", str(kept), "--quick", "--json"]
    assert run_command(line) == 0

    with (tmp_path / "fresh" / "pred_letter.csv").open(encoding="utf-8") as file:
        said = {row["question_id"]: row for row in csv.DictReader(file)}

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        number = re.search(r"Question (\d+)", body["messages"][-1]["content"])
        assert number is not None
        row = [task.id for task in fresh.tasks].index(number[1])
        letter = said[number[1]][body["model"]]
        words = f"The answer is ({letter})." if letter != "-" else "Nobody knows."
        chars = int(fresh.chars[row, list(MODELS).index(body["model"])])
        return {"content": words.ljust(chars, ".")}

    prompts = [prompt(task.text, task.options) for task in fresh.tasks]
    bare = replace(
        fresh,
        tasks=tuple(
            replace(task, kind="", prompt_chars=len(text))
            for task, text in zip(fresh.tasks, prompts, strict=True)
        ),
    )
    policy, _ = artefact.load(kept)
    looks = look(bare.tasks, bare.candidates, puppeteering.vectors())
    (played,) = policy.play(bare, looks, [policy.price(7)])

    with Recorder(reply) as upstream, Served(tmp_path / "home") as gateway:
        for model, (price_in, price_out) in MODELS.items():
            gateway.add_model(
                model,
                upstream.url,
                upstream_model=model,
                price_in=str(price_in),
                price_out=str(price_out),
            )
        assert run_command(["puppeteer", "promote", str(kept), "--json"]) == 0
        time.sleep(0.7)
        client = openai_client(gateway)
        for row, text in enumerate(prompts):
            answer = client.chat.completions.create(
                model="glasslipper/auto",
                messages=[{"role": "user", "content": text}],
                extra_body={"auto": {"dial": 7}},
            )
            told = answer.model_extra["glasslipper"]  # type: ignore[index]
            assert told["policy"] == "asker", told
            asked = [step["model"] for step in told["steps"]]
            wanted = {policy.models[place] for place in np.flatnonzero(played.called[row])}
            assert set(asked) == wanted, (row, told)
            if played.returned[row] >= 0:
                place = fresh.said[row, played.returned[row]]
                assert letter_in(answer.choices[0].message.content or "", 4) == place
        _, listed = gateway.call("GET", "/api/v1/models")
        cards = {one["id"]: one.get("policy", {}) for one in listed["data"]}
        assert cards["glasslipper/auto@asker"]["tasks"] == 500
