"""Which pages of the cache belong to whom, and which prefixes are there already.

Keeps numbers only: no tensor, no torch. A page holds `PAGE` tokens of every layer. Pages that
are full and written may be *sealed*: a later sequence that begins with the same tokens under the
same salt gets them instead of computing them anew. Sealed pages that nobody uses are kept until
their place is needed, the longest unused first. One thread at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import CacheFull

PAGE = 64
"""Tokens in a page."""


@dataclass
class Lease:
    """One sequence's pages: token i lies in pages[i // PAGE], at place i % PAGE."""

    salt: str
    pages: list[int] = field(default_factory=list[int])
    tokens: list[int] = field(default_factory=list[int])
    reused: int = 0
    """How many first tokens were there already."""


class _Sealed(NamedTuple):
    serial: int
    page: int


_Prefix = tuple[int | str, tuple[int, ...]]
"""What a sealed page is known by: the serial of the page before it (or the salt), its tokens."""


class Book:
    """Lends pages to sequences."""

    def __init__(self, pages: int) -> None:
        """Begin with `pages` empty pages.

        Raises:
            ValueError: When there is not one.
        """
        if pages < 1:
            raise ValueError(f"a cache needs at least one page, not {pages}")
        self.pages = pages
        self._free = list(range(pages - 1, -1, -1))
        self._users = [0] * pages
        self._sealed: dict[_Prefix, _Sealed] = {}
        self._prefix_of: dict[int, _Prefix] = {}
        self._unused: OrderedDict[int, None] = OrderedDict()
        self._serial = 0

    @property
    def available(self) -> int:
        """How many pages can be had now."""
        return len(self._free) + len(self._unused)

    def open(self, prompt: Sequence[int], *, salt: str = "") -> Lease:
        """Begin a sequence with what is sealed of its prompt; its last token is always left out.

        The last token is computed anew since a model needs one to answer from.

        Args:
            prompt: The tokens that will be written.
            salt: Sequences share pages only under one salt: name the model, and whoever must
                not notice others' prompts by their speed.
        """
        lease = Lease(salt)
        parent: int | str = salt
        for start in range(0, len(prompt) - PAGE, PAGE):
            found = self._sealed.get((parent, tuple(prompt[start : start + PAGE])))
            if found is None:
                break
            self._users[found.page] += 1
            self._unused.pop(found.page, None)
            lease.pages.append(found.page)
            parent = found.serial
        lease.reused = len(lease.pages) * PAGE
        lease.tokens.extend(prompt[: lease.reused])
        return lease

    def append(self, lease: Lease, tokens: Sequence[int]) -> None:
        """Make room for more tokens at the end of a sequence.

        Raises:
            CacheFull: When there are too few pages; the lease is as it was.
        """
        needed = -(-(len(lease.tokens) + len(tokens)) // PAGE) - len(lease.pages)
        if needed > self.available:
            raise CacheFull(
                f"the cache has {self.available} free pages and {needed} are needed",
                hint="wait for another sequence to end, or give the cache more pages",
            )
        for _ in range(needed):
            page = self._take()
            self._users[page] = 1
            lease.pages.append(page)
        lease.tokens.extend(tokens)

    def seal(self, lease: Lease) -> None:
        """Let others use the pages of a sequence that are full; all layers are written."""
        parent: int | str = lease.salt
        for i in range(len(lease.tokens) // PAGE):
            page = lease.pages[i]
            prefix = (parent, tuple(lease.tokens[i * PAGE : (i + 1) * PAGE]))
            found = self._sealed.get(prefix)
            if found is None:
                if page in self._prefix_of:
                    return  # its parent's place was taken: nobody can come this way any more
                self._serial += 1
                found = _Sealed(self._serial, page)
                self._sealed[prefix] = found
                self._prefix_of[page] = prefix
            parent = found.serial

    def close(self, lease: Lease) -> None:
        """Give a sequence's pages back; the lease is empty afterwards."""
        for page in reversed(lease.pages):
            self._users[page] -= 1
            if self._users[page] == 0:
                if page in self._prefix_of:
                    self._unused[page] = None
                else:
                    self._free.append(page)
        lease.pages.clear()
        lease.tokens.clear()
        lease.reused = 0

    def _take(self) -> int:
        if self._free:
            return self._free.pop()
        page, _ = self._unused.popitem(last=False)
        del self._sealed[self._prefix_of.pop(page)]
        return page
