"""The labelled prompts that the topic head is trained and judged on.

Every corpus brings its own labels; the tables here say which of ours each of them means, decided
by what the label says and before any figure was seen. A label that means no single one of ours is
left out of training and judging, and counted. Corpora of one origin form a *family*: when a corpus
is left out to judge the head, its whole family is, so that nothing near it has been seen.

Knows no model and no feature.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
_SEEDS = HERE / "classify_seeds.tsv"
_CLUSTERS = HERE / "classify_clusters.tsv"
_DEFAULT_DATA = HERE.parent.parent / "shared" / "data"

OURS = "seeds"
"""The family of the prompts that this project wrote itself; it is never left out."""


class Prompt(NamedTuple):
    """A prompt and what it is about; `tag` is empty where the corpus does not tell it."""

    text: str
    topic: str
    tag: str


class Corpus(NamedTuple):
    """Prompts from one file. `judged` says whether figures are told for it."""

    name: str
    family: str
    licence: str
    origin: str
    judged: bool
    prompts: tuple[Prompt, ...]
    left_out: int


MMLU: Mapping[str, str] = {
    "biology": "science",
    "chemistry": "science",
    "physics": "science",
    "engineering": "science",
    "psychology": "science",
    "computer science": "technology",
    "economics": "finance",
    "business": "finance",
    "health": "health",
    "law": "legal",
    "math": "math",
    "philosophy": "academia",
    "history": "academia",
}
"""Exam subjects; `other` is a mixture and left out."""

ARENA: Mapping[str, tuple[str, str]] = {
    "coding": ("programming", ""),
    "math": ("math", "general.math"),
    "creative_writing": ("roleplay", "general.roleplay_fiction"),
}

BENCH: Mapping[str, tuple[str, str]] = {
    "coding": ("programming", ""),
    "math": ("math", "general.math"),
    "roleplay": ("roleplay", "general.roleplay_fiction"),
    "stem": ("science", "general.qa_knowledge"),
    "humanities": ("academia", ""),
    "extraction": ("other", "data.extraction"),
    "knowledge": ("trivia", "general.qa_knowledge"),
    "common-sense": ("trivia", "general.qa_knowledge"),
    "reasoning": ("trivia", ""),
    "generic": ("other", "general.qa_knowledge"),
}
"""Of MT-bench and Vicuna; `writing`, `fermi` and `counterfactual` are mixtures and left out."""

APPS: Mapping[str, str] = {
    "programming": "StackOverflow|Leetcode|GeeksforGeeks|w3schools|Github",
    "math": "Wolfram alpha|(Wolfram alpha)?",
    "academia": "Overleaf|Google Scholar|Semantic Scholar|Explainpaper",
    "technology": "MS Excel|Google Sheet|Google Sheets",
    "trivia": "Wikipedia|Quora|Wordle|Sudoku|Jeopardy",
    "translation": "Doulingo",
    "health": "Wysa|Workout|Strava",
    "other": "Grammarly|Gmail|Messenger|LinkedIn|Indeed|Google Calendar|Meetup|Tasty"
    "|tripadvisor.com|Yelp|yelp|Airbnb|Notion|Google Docs|MS Word|Google Meet|you.com (YouWrite)",
}
"""Of Self-Instruct's user tasks, by the application that the task was written for."""


def folder() -> Path:
    """Return the folder of the data: `$GLASSLIPPER_DATA`, or `../shared/data`."""
    return Path(os.environ.get("GLASSLIPPER_DATA") or _DEFAULT_DATA)


def load(data: Path) -> list[Corpus]:
    """Return all corpora of a data folder, and our own seeds.

    Raises:
        FileNotFoundError: A file is missing.
    """
    classify = data / "classify"
    arena = "lmarena/arena-hard-auto @ 196f6b82"
    fastchat = "lm-sys/FastChat @ 0e6d3e4b"
    return [
        _corpus("seeds", OURS, "this project", _seeds(), judged=False),
        _corpus("arena_hard_v2", "arena", arena, _arena_v2(classify)),
        _corpus("arena_hard_v01", "arena", arena, _arena_v01(classify)),
        _corpus("mt_bench", "fastchat", fastchat, _bench(classify / "mt_bench_question.jsonl")),
        _corpus(
            "vicuna_bench", "fastchat", fastchat, _bench(classify / "vicuna_bench_question.jsonl")
        ),
        _corpus(
            "semantic_router",
            "mmlu",
            "vllm-project/semantic-router @ 3d48f8c9",
            _router(classify),
        ),
        _corpus("mmlu_pro", "mmlu", "TIGER-AI-Lab/MMLU-Pro @ f418b116", _mmlu(data), judged=False),
        _corpus(
            "banking77",
            "banking77",
            "PolyAI-LDN/task-specific-datasets @ 57ec275d",
            _banking(classify),
            licence="CC BY 4.0",
        ),
        _corpus(
            "self_instruct",
            "self_instruct",
            "yizhongw/self-instruct @ 0b26ccaa",
            _self_instruct(classify),
        ),
        _corpus(
            "zeroeval", "zeroeval", "WildEval/ZeroEval @ 8c1485ed", _zeroeval(data), judged=False
        ),
    ]


def _corpus(
    name: str,
    family: str,
    origin: str,
    found: Iterator[Prompt | None],
    *,
    licence: str = "Apache-2.0",
    judged: bool = True,
) -> Corpus:
    everything = list(found)
    kept = tuple(prompt for prompt in everything if prompt is not None and prompt.text.strip())
    return Corpus(name, family, licence, origin, judged, kept, len(everything) - len(kept))


def _lines(path: Path) -> Iterator[dict[str, object]]:
    opened = (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8")
    )
    with opened as file:
        for line in file:
            yield json.loads(line)


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        for line in file:
            yield line.rstrip("\n").split("\t")


def _seeds() -> Iterator[Prompt]:
    for topic, tag, text in _rows(_SEEDS):
        yield Prompt(text, topic, tag)


def _arena_v2(classify: Path) -> Iterator[Prompt]:
    for row in _lines(classify / "arena_hard_v2_question.jsonl"):
        yield Prompt(str(row["prompt"]), *ARENA[str(row["subcategory"])])


def _arena_v01(classify: Path) -> Iterator[Prompt | None]:
    meant = {
        cluster: (topic, tag)
        for topic, tag, clusters in _rows(_CLUSTERS)
        for cluster in clusters.split("|")
    }
    for row in _lines(classify / "arena_hard_v01_question.jsonl"):
        labels = meant.get(str(row["cluster"]))
        yield Prompt(str(row["prompt"]), *labels) if labels else None


def _bench(path: Path) -> Iterator[Prompt | None]:
    for row in _lines(path):
        labels = BENCH.get(str(row["category"]))
        turns = row["turns"]
        assert isinstance(turns, list)
        yield Prompt(str(turns[0]), *labels) if labels else None


def _router(classify: Path) -> Iterator[Prompt | None]:
    path = classify / "semantic_router_domain_cases.json"
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield _exam(row["question"], row["category"])


def _mmlu(data: Path) -> Iterator[Prompt | None]:
    for row in _lines(data / "mmlu_pro_outcomes" / "questions.jsonl.gz"):
        yield _exam(str(row["question"]), str(row["category"]))


def _exam(question: str, subject: str) -> Prompt | None:
    topic = MMLU.get(subject)
    return Prompt(question, topic, "") if topic else None


def _banking(classify: Path) -> Iterator[Prompt]:
    with (classify / "banking77_test.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Prompt(row["text"], "finance", "general.customer_support")


def _self_instruct(classify: Path) -> Iterator[Prompt | None]:
    meant = {app: topic for topic, apps in APPS.items() for app in apps.split("|")}
    for row in _lines(classify / "self_instruct_user_oriented.jsonl"):
        topic = meant.get(str(row["motivation_app"]))
        instances = row["instances"]
        assert isinstance(instances, list)
        text = f"{row['instruction']}\n\n{instances[0]['input']}".strip()
        yield Prompt(text, topic, "") if topic else None


def _zeroeval(data: Path) -> Iterator[Prompt]:
    for row in _lines(data / "zeroeval_outcomes" / "questions.jsonl.gz"):
        is_code = row["task"] == "crux"
        topic, tag = ("programming", "") if is_code else ("math", "general.math")
        yield Prompt(str(row["question"]), topic, tag)
