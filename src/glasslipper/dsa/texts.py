"""Text to learn from and to judge by: reads files as plain text and cuts them into sequences.

Understands plain text, gzip, and man pages (whose markup it drops). Knows nothing of models but
that a tokenizer turns text into numbers.
"""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glasslipper.dsa.errors import TextTooShort

_MOST_CHARACTERS = 400_000
_MOST_OF_A_FILE = 4_000_000
_MOST_UNREADABLE = 50
"""One character in so many may be unreadable."""

_ROFF = re.compile(r"^[.'].*$|\\f[A-Z]|\\[&|^/,]", re.MULTILINE)
_ROFF_TEXT = re.compile(r"^\.(?:B|I|BR|BI|IR|RB|IP|SH|SS|TP|Nm|Fl|Ar)\s+", re.MULTILINE)
_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]+>", re.DOTALL)


def read(path: Path, *, most: int | None = _MOST_CHARACTERS) -> str:
    """Return what the file says, at most its first `most` characters.

    Raises:
        TextTooShort: It cannot be read.
    """
    try:
        if path.suffix == ".gz":
            raw = gzip.decompress(path.read_bytes())
        else:
            with path.open("rb") as file:
                raw = file.read(-1 if most is None else 4 * most)
    except (OSError, EOFError, zlib.error) as error:
        raise TextTooShort(f"{path} cannot be read: {error}.") from error
    text = raw.decode("utf-8", errors="replace")[:most]
    name = path.name.removesuffix(".gz")
    if re.search(r"\.\d\w*$", name):
        text = _ROFF.sub("", _ROFF_TEXT.sub("", text)).replace("\\-", "-")
    if name.endswith((".html", ".htm")):
        text = _TAGS.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def words_in(places: Iterable[Path], *, most: int | None = _MOST_OF_A_FILE) -> list[str]:
    """Return what files say: each place is a file, or a folder, of which all that is text counts.

    Of each file at most its first `most` characters.

    Raises:
        TextTooShort: A place is not there, cannot be read, or is a file that is no text.
    """
    found: list[str] = []
    for place in places:
        if place.is_dir():
            inside = sorted(path for path in place.rglob("*") if path.is_file())
            found += [
                text for text in (_read_if_sound(path, most) for path in inside) if _is_prose(text)
            ]
        elif place.is_file():
            text = read(place, most=most)
            if text and not _is_prose(text):
                raise TextTooShort(f"{place} is no text.", hint="Give plain text, or convert it.")
            found.append(text)
        else:
            raise TextTooShort(f"There is no {place}.")
    return found


def _read_if_sound(path: Path, most: int | None) -> str:
    try:
        return read(path, most=most)
    except TextTooShort:
        return ""


def _is_prose(text: str) -> bool:
    """Tell text from pictures and programs: those have zeros, or bytes that are no UTF-8."""
    return bool(text) and "\0" not in text and text.count("\ufffd") < len(text) / _MOST_UNREADABLE


def sequences(
    tokenizer: Any,  # transformers types its tokenizers loosely
    texts: Sequence[str],
    *,
    length: int,
    most: int,
    seed: int = 0,
) -> list[Tensor]:
    """Return at most `most` sequences of `length` tokens, drawn evenly from the texts.

    Texts take turns in an order that the seed decides, so that no long one drowns the others;
    one shorter than a sequence is joined to the next.
    """
    cut: list[list[Tensor]] = []
    short: list[int] = []
    for text in texts:
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if len(ids) < length:
            short += ids
            continue
        cut.append([_tokens(ids[at : at + length]) for at in _starts(len(ids), length)])
    if len(short) >= length:
        cut.append([_tokens(short[at : at + length]) for at in _starts(len(short), length)])
    draw = random.Random(seed)  # noqa: S311 - a draw that can be repeated, not a secret
    for pieces in cut:
        draw.shuffle(pieces)
    draw.shuffle(cut)
    taken: list[Tensor] = []
    while cut and len(taken) < most:
        cut = [pieces for pieces in cut if pieces]
        taken += [pieces.pop() for pieces in cut]
    return taken[:most]


def _tokens(ids: list[int]) -> Tensor:
    return torch.tensor(ids, device="cpu")


def _starts(tokens: int, length: int) -> range:
    return range(0, tokens - length + 1, length)
