"""`glasslipper classify` as people and programs use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def with_vectors(cli_at: Any, tmp_path: Path, vector_paths: tuple[Path, Path]) -> Any:
    """Commands on a machine that has the static vectors."""
    return cli_at(tmp_path / "home", vector_paths[0].parent)


def test_a_text_is_told_its_topic_task_and_languages(with_vectors: Any) -> None:
    told = with_vectors.ok("classify", "Write a short story about a fox who cannot lie.")
    assert "roleplay" in told
    assert "general.roleplay_fiction" in told
    assert "Language: en" in told


def test_programs_get_json_with_the_runners_up(with_vectors: Any) -> None:
    told = with_vectors.json("classify", "Solve the equation 4x + 7 = 31.")
    assert told["topic"] == "math"
    assert told["topics"]["math"] == max(told["topics"].values()) > 0.5
    assert told["classifier"].startswith("classify:")
    assert told["code_language"] is None


def test_lines_that_are_piped_in_are_told_one_by_one(with_vectors: Any) -> None:
    piped = "hello!\n\nqzx vrumpf 0 blorb tikk\n"
    told = with_vectors.ok("classify", "--lines", piped=piped).splitlines()
    assert [line.split("\t")[0] for line in told] == ["other", "not sure"]
    objects = with_vectors.ok("classify", "--lines", "--json", piped=piped)
    assert len([json.loads(line) for line in objects.splitlines()]) == 2


def test_nothing_to_classify_is_wrong_usage(with_vectors: Any) -> None:
    error = with_vectors.error("classify", status=2)
    assert "pipe it in" in error["message"]


def test_what_is_no_text_is_refused(with_vectors: Any) -> None:
    run: Callable[..., Any] = with_vectors.run
    done = run("classify", piped=b"\xff\xfe\x00")
    assert done.returncode == 1
    assert "UTF-8" in done.stderr
