"""Exams: fair, disjoint, and their own answers are right."""

import json
import os
from pathlib import Path

import pytest

from glasslipper.kernel.messages import Message, Request, Sampling, TextPart
from glasslipper.puppeteer import exam
from glasslipper.puppeteer.exam import arithmetic, extraction, functions
from glasslipper.puppeteer.recall import Recall, Reply, key_of

DATA = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "tasks").is_dir(), reason="the data is not here")


@needs_data
def test_training_and_judging_share_nothing_and_any_beginning_is_a_mix() -> None:
    train, test = exam.draw(DATA, "train", 90), exam.draw(DATA, "test", 90)
    assert not {task.text for task in train} & {task.text for task in test}
    assert not {task.id for task in train} & {task.id for task in test}
    assert {task.kind for task in train[:9]} == {task.kind for task in train}
    wishes = [{task.function for task in split if task.function} for split in (train, test)]
    assert not wishes[0] & wishes[1]
    assert exam.draw(DATA, "train", 9) == train[:9]


def test_generated_answers_are_right() -> None:
    for number in range(60):
        for split in ("train", "test"):
            task = arithmetic.draw(split, number)
            assert eval(task.text.removeprefix("What is ").removesuffix("?")) == int(task.gold)
            note = extraction.draw(split, number)
            facts = json.loads(note.gold)
            texts = [value for value in facts.values() if isinstance(value, str)]
            assert all(text in note.text for text in texts)


def test_examples_and_probes_of_functions_hold() -> None:
    for number in range(24):
        for split in ("train", "test"):
            task = functions.draw(split, number)
            assert len(json.loads(task.probes)) == len(json.loads(task.gold)) >= 6
            assert task.example in task.text


def test_answers_are_found_again_by_what_was_asked(tmp_path: Path) -> None:
    def ask(text: str, seed: int = 1) -> Request:
        message = Message(role="user", parts=(TextPart(text=text),))
        return Request(model="m", messages=(message,), sampling=Sampling(seed=seed))

    keys = {
        key_of(ask(text, seed), weights) for text in "ab" for seed in (1, 2) for weights in "xy"
    }
    assert len(keys) == 8
    path = tmp_path / "answers.jsonl"
    recall = Recall(path)
    reply = Reply(text="x", finish="stop", input_tokens=1, output_tokens=2, cpu_us=3)
    key = key_of(ask("a"), "x")
    recall.keep(key, "m", reply)
    with path.open("ab") as file:
        file.write(b'{"key": "cut of')
    again = Recall(path)
    assert again.find(key) == reply
    again.keep("other", "m", reply)
    third = Recall(path)
    assert len(third) == 2
    assert third.find("other") == reply
