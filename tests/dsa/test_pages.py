"""Pages: whoever reads a sequence reads its own tokens, whatever others did meanwhile."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslipper.dsa.errors import CacheFull
from glasslipper.dsa.pages import PAGE, Book, Lease


class Memory:
    """Pages with tokens in them, written the way a model writes its cache."""

    def __init__(self, pages: int) -> None:
        self.book = Book(pages)
        self.places = [[-1] * PAGE for _ in range(pages)]

    def write(self, lease: Lease, tokens: list[int]) -> None:
        start = len(lease.tokens)
        self.book.append(lease, tokens)
        for i, token in enumerate(tokens, start):
            self.places[lease.pages[i // PAGE]][i % PAGE] = token

    def read(self, lease: Lease) -> list[int]:
        return [self.places[lease.pages[i // PAGE]][i % PAGE] for i in range(len(lease.tokens))]

    def begin(self, prompt: list[int], salt: str = "") -> Lease:
        lease = self.book.open(prompt, salt=salt)
        try:
            self.write(lease, prompt[lease.reused :])
        except CacheFull:
            self.book.close(lease)
            raise
        self.book.seal(lease)
        return lease


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_sequence_reads_its_own_tokens_whatever_others_do(rng: random.Random) -> None:
    memory = Memory(12)
    open_leases: list[tuple[Lease, list[int], str]] = []
    for _ in range(60):
        if open_leases and rng.random() < 0.4:
            lease, _, _ = open_leases.pop(rng.randrange(len(open_leases)))
            memory.book.close(lease)
        elif open_leases and rng.random() < 0.4:
            lease, text, _ = rng.choice(open_leases)
            more = [rng.randrange(2)] * rng.randrange(1, PAGE)
            with suppress(CacheFull):
                memory.write(lease, more)
                text.extend(more)
                memory.book.seal(lease)
        else:
            runs = [[rng.randrange(2)] * rng.choice((32, 64, 70)) for _ in range(3)]
            prompt = [token for run in runs for token in run]
            salt = rng.choice("ab")
            with suppress(CacheFull):
                open_leases.append((memory.begin(prompt, salt), list(prompt), salt))
        for lease, text, _ in open_leases:
            assert memory.read(lease) == text
        used = {
            name: {page for lease, _, salt in open_leases if salt == name for page in lease.pages}
            for name in "ab"
        }
        assert not used["a"] & used["b"]
    for lease, _, _ in open_leases:
        memory.book.close(lease)
    assert memory.book.available == 12


def test_a_prompt_that_was_there_before_is_not_computed_again() -> None:
    memory = Memory(8)
    prompt = list(range(3 * PAGE))
    memory.book.close(memory.begin(prompt))
    again = memory.begin([*prompt, 7])
    assert again.reused == 3 * PAGE
    assert memory.begin(prompt).reused == 2 * PAGE  # the last token is always computed
    assert memory.begin(prompt[: PAGE + 1], salt="another").reused == 0


def test_a_full_cache_says_so_and_takes_nothing() -> None:
    book = Book(2)
    lease = book.open([])
    book.append(lease, [1] * PAGE)
    with pytest.raises(CacheFull, match="1 free pages and 2 are needed") as caught:
        book.append(lease, [1] * (PAGE + 1))
    assert caught.value.hint
    assert (len(lease.pages), len(lease.tokens)) == (1, PAGE)
    with pytest.raises(ValueError, match="at least one page"):
        Book(0)


def test_the_longest_unused_prefix_gives_way_first() -> None:
    memory = Memory(3)
    for token in (1, 2, 3):
        memory.book.close(memory.begin([token] * (PAGE + 0)))
    newcomer = memory.begin([9] * PAGE)
    assert memory.book.open([1] * (PAGE + 1)).reused == 0
    assert memory.book.open([3] * (PAGE + 1)).reused == PAGE
    assert memory.read(newcomer) == [9] * PAGE
