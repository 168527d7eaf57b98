"""The static vectors: what they say about meaning, and that they are what they claim to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kitoken import Kitoken

from glasslipper.kernel.errors import InvalidRequest, ModelUnknown, SetupMissing, Unsupported
from glasslipper.kernel.ports import EmbeddingResult
from glasslipper.local import EMBEDDINGS, LocalModels

T = TypeVar("T")
Runner = Callable[[Coroutine[Any, Any, T]], T]

# What the reference tokenizer of the same file makes of these texts.
REFERENCE_IDS = {
    "Hello, world!": [15043, 29892, 3186, 29991],
    "  two  spaces ": [259, 1023, 29871, 8162, 29871],
    "def f(x):\n    return x ** 2": [
        822,
        285,
        29898,
        29916,
        1125,
        13,
        1678,
        736,
        921,
        3579,
        29871,
        29906,
    ],
    "na\xefve r\xe9sum\xe9 Zo\xeb": [1055, 30085, 345, 6896, 398, 29948, 17421, 30083],
    "\u65e5\u672c\u8a9e \u6f22\u5b57": [29871, 30325, 30346, 30968, 29871, 31652, 30578],
    "\uc548\ub155 \u043f\u0440\u0438\u0432\u0435\u0442": [29871, 31734, 238, 136, 152, 1695, 7616],
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f642": [
        29871,
        243,
        162,
        148,
        172,
        30722,
        243,
        162,
        148,
        172,
        30722,
        243,
        162,
        148,
        170,
        29871,
        243,
        162,
        156,
        133,
    ],
    "<s>not special?</s>": [1, 451, 4266, 29973, 2],
    "e\u0301\u200b\ufeff": [321, 30103, 30166, 30143],
}


@pytest.fixture(scope="session")
def vectors(vector_paths: tuple[Path, Path]) -> LocalModels:
    return LocalModels(folder=vector_paths[0].parent)


def dot(one: Any, other: Any) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_what_means_the_same_lies_close(vectors: LocalModels, run: Runner[EmbeddingResult]) -> None:
    texts = [
        "How do I reset my password?",
        "To change a forgotten password, open the account settings.",
        "The ferry to the island leaves at noon.",
    ]
    query, right, wrong = run(vectors.embed(EMBEDDINGS, texts, None)).vectors
    assert dot(query, right) > dot(query, wrong) + 0.3


@pytest.mark.parametrize("dimensions", [64, 128, 256])
def test_shorter_vectors_begin_like_the_long_one_and_have_length_one(
    vectors: LocalModels, run: Runner[EmbeddingResult], dimensions: int
) -> None:
    text = ["A short text."]
    (long,) = run(vectors.embed(EMBEDDINGS, text, None)).vectors
    (short,) = run(vectors.embed(EMBEDDINGS, text, dimensions)).vectors
    scale = math.sqrt(dot(long[:dimensions], long[:dimensions]))
    assert len(short) == dimensions
    assert dot(short, short) == pytest.approx(1, abs=1e-5)
    assert [x * scale for x in short] == pytest.approx(list(long[:dimensions]), abs=1e-5)


@pytest.mark.parametrize("dimensions", [0, 100, 512])
def test_other_lengths_are_refused(
    vectors: LocalModels, run: Runner[EmbeddingResult], dimensions: int
) -> None:
    with pytest.raises(InvalidRequest, match="64, 128, 256"):
        run(vectors.embed(EMBEDDINGS, ["x"], dimensions))


def test_nothing_has_no_meaning(vectors: LocalModels, run: Runner[EmbeddingResult]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        run(vectors.embed(EMBEDDINGS, ["x", ""], None))
    assert caught.value.param == "$.input[1]"


def test_tokens_and_time_are_counted(vectors: LocalModels, run: Runner[EmbeddingResult]) -> None:
    found = run(vectors.embed(EMBEDDINGS, ["Hello", "Hello, world!"], None))
    ids = REFERENCE_IDS["Hello, world!"]
    assert found.tokens == 1 + len(ids)
    assert 0 < found.cpu_us < 1_000_000


def test_a_long_text_is_the_sum_of_its_parts(
    vectors: LocalModels, run: Runner[EmbeddingResult]
) -> None:
    one, many = run(vectors.embed(EMBEDDINGS, ["sea", " ".join(["sea"] * 20_000)], None)).vectors
    assert dot(one, many) == pytest.approx(1, abs=1e-3)


def test_chat_models_make_no_embeddings(vectors: LocalModels, run: Runner[EmbeddingResult]) -> None:
    with pytest.raises(Unsupported):
        run(vectors.embed("local/smol", ["x"], None))
    with pytest.raises(ModelUnknown):
        run(vectors.embed("local/nothing", ["x"], None))


def test_vectors_that_are_not_here_say_how_to_get_them(
    tmp_path: Path, run: Runner[EmbeddingResult]
) -> None:
    with pytest.raises(SetupMissing) as caught:
        run(LocalModels(folder=tmp_path).embed(EMBEDDINGS, ["x"], None))
    assert "glasslipper models pull local/static-256" in caught.value.hint


@pytest.mark.parametrize("text", REFERENCE_IDS)
def test_the_tokens_are_those_of_the_reference(vector_paths: tuple[Path, Path], text: str) -> None:
    tokenizer = Kitoken.from_tokenizers_file(str(vector_paths[1]))
    assert tokenizer.encode(text, True) == REFERENCE_IDS[text]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=st.lists(st.text(min_size=1, max_size=50), min_size=1, max_size=5))
def test_any_texts_have_vectors_of_length_one_whatever_their_company(
    vectors: LocalModels, run: Runner[EmbeddingResult], texts: list[str]
) -> None:
    together = run(vectors.embed(EMBEDDINGS, texts, None)).vectors
    for text, vector in zip(texts, together, strict=True):
        assert dot(vector, vector) == pytest.approx(1, abs=1e-5)
        assert list(run(vectors.embed(EMBEDDINGS, [text], None)).vectors[0]) == list(vector)
