"""Outcome folders are read as they are, and what is wrong with them is said."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcome_folders import MODELS, OPTIONS, answers, letters

from glasslipper.kernel.errors import InvalidRequest
from glasslipper.puppeteer.answers import sense
from glasslipper.puppeteer.bench import apart
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.outcomes import split


def test_letters_are_read_with_their_options_costs_and_truth(tmp_path: Path) -> None:
    outcomes = read(letters(tmp_path, 40, seed=1))
    assert outcomes.models == tuple(MODELS)
    assert len(outcomes) == 40
    assert np.array_equal(outcomes.right, outcomes.said == outcomes.truth[:, None])
    task = outcomes.tasks[0]
    sent = len(task.text) + sum(map(len, task.options))
    wanted = (sent * 2.0 + outcomes.chars[0, 0] * 8.0) / 4 / 1e6
    assert outcomes.usd[0, 0] == pytest.approx(wanted)


def test_free_answers_that_say_the_same_are_one_candidate(tmp_path: Path) -> None:
    outcomes = read(answers(tmp_path, 30, seed=2))
    for row in range(len(outcomes)):
        for said, right in zip(outcomes.said[row], outcomes.right[row], strict=True):
            assert outcomes.candidates[row][said] or not right


def test_gzipped_files_are_read_too(tmp_path: Path) -> None:
    folder = letters(tmp_path, 20, seed=3)
    plain = read(folder)
    path = folder / "pred_letter.csv"
    with gzip.open(folder / "pred_letter.csv.gz", "wb") as file:
        file.write(path.read_bytes())
    path.unlink()
    assert np.array_equal(read(folder).said, plain.said)


def test_a_question_that_somebody_did_not_answer_is_left_out(tmp_path: Path) -> None:
    folder = letters(tmp_path, 20, seed=4)
    path = folder / "pred_letter.csv"
    rows = path.read_text(encoding="utf-8").splitlines()
    rows[1] = rows[1].split(",")[0] + ",A,,B"
    path.write_text("\n".join(rows), encoding="utf-8")
    assert len(read(folder)) == 19


def test_what_means_nothing_here_is_passed_over(tmp_path: Path) -> None:
    plain = read(letters(tmp_path, 20, seed=4))
    for name in ("pred_letter.csv", "output_chars.csv", "prices.csv"):
        path = tmp_path / name
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\ufeff" + "\n".join(f"{line},x" for line in lines), encoding="utf-8")
    path = tmp_path / "questions.jsonl"
    asked = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    spoilt = [json.dumps({**one, "src": None, "category": None}) for one in asked]
    path.write_text("\ufeff" + "\n".join(spoilt), encoding="utf-8")
    again = read(tmp_path)
    assert np.array_equal(again.said, plain.said)
    assert np.array_equal(again.usd, plain.usd)
    assert set(again.kinds) == {""}


def test_a_question_without_options_is_judged_by_its_letter(tmp_path: Path) -> None:
    plain = read(letters(tmp_path, 20, seed=4))
    path = tmp_path / "questions.jsonl"
    asked = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    bare = [json.dumps({**one, "options": None}) for one in asked]
    path.write_text("\n".join(bare), encoding="utf-8")
    again = read(tmp_path)
    assert np.array_equal(again.right, plain.right)
    assert np.array_equal(again.said < 0, plain.said < 0)
    same = plain.said[:, 0] == plain.said[:, 1]
    assert np.array_equal(again.said[:, 0] == again.said[:, 1], same)


@pytest.mark.parametrize("written", ["{letter}", "({small})", "{words}", " {small}."])
def test_options_may_be_named_by_letter_or_words_in_either_layout(
    tmp_path: Path, written: str
) -> None:
    plain = read(letters(tmp_path, 20, seed=4))
    asked = (tmp_path / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    gold = {str(one["question_id"]): one["answer"] for one in map(json.loads, asked)}
    lines = ["task,id,model,correct,output_chars,extracted_answer"]
    with (tmp_path / "pred_letter.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["question_id"]
            for model in MODELS:
                letter = row[model]
                words = "" if letter == "-" else OPTIONS["ABCD".index(letter)].upper()
                said = written.format(letter=letter, small=letter.lower(), words=words.lower())
                lines.append(f",{key},{model},{int(letter == gold[key])},100,{said}")
    (tmp_path / "outcomes.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "pred_letter.csv").unlink()
    again = read(tmp_path)
    assert np.array_equal(again.said, plain.said)
    assert np.array_equal(again.right, plain.right)


def test_the_right_option_may_be_told_by_its_words_but_not_by_a_number(tmp_path: Path) -> None:
    plain = read(letters(tmp_path, 20, seed=4))
    path = tmp_path / "questions.jsonl"
    asked = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def write(answer: Callable[[str], str | int]) -> None:
        told = [json.dumps({**one, "answer": answer(one["answer"])}) for one in asked]
        path.write_text("\n".join(told), encoding="utf-8")

    write(lambda letter: OPTIONS["ABCD".index(letter)])
    assert np.array_equal(read(tmp_path).right, plain.right)
    write("ABCD".index)
    with pytest.raises(InvalidRequest, match="not the letter of an option"):
        read(tmp_path)


def test_a_model_that_is_priced_twice_is_refused(tmp_path: Path) -> None:
    path = letters(tmp_path, 20, seed=4) / "prices.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[1]]), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="made/sage is there twice"):
        read(tmp_path)


def test_an_answer_may_be_long(tmp_path: Path) -> None:
    path = answers(tmp_path, 20, seed=4) / "outcomes.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0] + "," + "long " * 40_000
    path.write_text("\n".join(lines), encoding="utf-8")
    assert len(read(tmp_path)) == 20


def test_gaps_are_counted_by_model(tmp_path: Path) -> None:
    path = letters(tmp_path, 20, seed=4) / "pred_letter.csv"
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows[1:6]:
        row[2] = ""
    rows[3][1] = ""
    path.write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    gaps = read(tmp_path).gaps
    assert gaps.questions == 5
    assert dict(gaps.models) == {"made/clerk": 5, "made/sage": 1}
    for row in rows[1:]:
        row[2] = ""
    path.write_text("\n".join(map(",".join, rows)), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="lack an answer of made/clerk") as told:
        read(tmp_path)
    assert "--without made/clerk" in told.value.hint
    assert len(read(tmp_path, without=frozenset({"made/clerk"}))) == 19


@pytest.mark.parametrize(
    ("write", "name"), [(letters, "pred_letter.csv"), (answers, "outcomes.csv")]
)
def test_an_answer_that_is_there_twice_is_refused(
    tmp_path: Path, write: Callable[..., Path], name: str
) -> None:
    path = write(tmp_path, 20, seed=4) / name
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[3]]), encoding="utf-8")
    with pytest.raises(InvalidRequest, match="twice"):
        read(tmp_path)


def _drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_drop("prices.csv"), "prices.csv"),
        (_drop("questions.jsonl"), "questions.jsonl"),
        (_drop("output_chars.csv"), "output_chars.csv"),
        (_write("prices.csv", "model,usd_per_mtok_in,usd_per_mtok_out\nsage,-1,2\n"), "line 2"),
        (_write("prices.csv", "model,usd\nsage,1\n"), "line 2"),
        (
            _write("prices.csv", "model,usd_per_mtok_in,usd_per_mtok_out\nghost,1,2\n"),
            "ghost",
        ),
        (_write("questions.jsonl", '{"question": "x"'), "line 1"),
        (_write("questions.jsonl", '{"question": "x", "answer": "A"}'), "question_id"),
        (
            _write(
                "output_chars.csv", "question_id,made/sage,made/clerk,made/parrot\n0,many,2,3\n"
            ),
            "many",
        ),
        (
            _write("pred_letter.csv", "question_id,made/sage,made/clerk,made/parrot\n"),
            "every model",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    folder = letters(tmp_path, 10, seed=5)
    spoil(folder)
    with pytest.raises(InvalidRequest, match=words):
        read(folder)


def test_a_binary_file_is_refused_in_words(tmp_path: Path) -> None:
    folder = letters(tmp_path, 10, seed=6)
    (folder / "pred_letter.csv").unlink()
    (folder / "pred_letter.csv.gz").write_bytes(b"\x1f\x8b not gzip at all")
    with pytest.raises(InvalidRequest, match="could not be read"):
        read(folder)


def test_training_tasks_that_are_test_tasks_too_are_dropped(tmp_path: Path) -> None:
    train = read(letters(tmp_path / "a", 150, seed=7))
    kept = apart(train, train.rows(np.arange(30)))
    assert kept.sum() == 120
    assert not kept[:30].any()
    with pytest.raises(InvalidRequest, match="Only 0"):
        apart(train, train)


def test_a_split_takes_its_share_of_every_kind(tmp_path: Path) -> None:
    kinds = read(letters(tmp_path, 100, seed=8)).kinds
    is_train = split(kinds, seed=42)
    for kind in ("law", "maths"):
        assert is_train[kinds == kind].sum() == 35
    assert np.array_equal(is_train, split(kinds, seed=42))
    assert not np.array_equal(is_train, split(kinds, seed=999))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$1,200", "1200"),
        ("18 miles", "18"),
        ("70.00", "$70"),
        ("[1, 2]", "[1,2]"),
        ("'abc'", "abc"),
        ("6 + 3 = 9", "9"),
        ("50%", "50"),
    ],
)
def test_answers_that_say_the_same_have_one_sense(one: str, other: str) -> None:
    assert sense(one) == sense(other)


@pytest.mark.parametrize(
    ("one", "other"), [("usAr", "aRUs"), ("1/2", "2"), ("-3", "3"), ("", "''"), ("[12]", "[1,2]")]
)
def test_answers_that_differ_have_two(one: str, other: str) -> None:
    assert sense(one) != sense(other)


@given(st.text(max_size=40))
def test_sense_takes_any_text_and_nothing_but_nothing_is_empty(text: str) -> None:
    assert (sense(text) == "") == (text == "")
    assert sense(text) == sense(f" {text} ") or not text


@given(st.integers(-(10**12), 10**12))
def test_a_number_means_its_value_however_it_is_written(value: int) -> None:
    assert sense(f"{value:,}") == sense(str(value)) == sense(f"{value}.0")
