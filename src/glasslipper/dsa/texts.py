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
_ROFF = re.compile(r"^[.'].*$|\\f[A-Z]|\\[&|^/,]", re.MULTILINE)
_ROFF_TEXT = re.compile(r"^\.(?:B|I|BR|BI|IR|RB|IP|SH|SS|TP|Nm|Fl|Ar)\s+", re.MULTILINE)
_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]+>", re.DOTALL)


def read(path: Path) -> str:
    """Return what the file says, at most its first 400,000 characters.

    Raises:
        TextTooShort: It cannot be read.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise TextTooShort(f"{path} cannot be read: {error}.") from error
    text = raw.decode("utf-8", errors="replace")[:_MOST_CHARACTERS]
    name = path.name.removesuffix(".gz")
    if re.search(r"\.\d\w*$", name):
        text = _ROFF.sub("", _ROFF_TEXT.sub("", text)).replace("\\-", "-")
    if name.endswith((".html", ".htm")):
        text = _TAGS.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def files_in(places: Iterable[Path]) -> list[Path]:
    """Return the files that are meant: each place is a file, or a folder with all it holds.

    Raises:
        TextTooShort: A place is not there.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(path for path in place.rglob("*") if path.is_file())
        elif place.is_file():
            found.append(place)
        else:
            raise TextTooShort(f"There is no {place}.")
    return found


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
