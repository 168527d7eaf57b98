"""What can be seen of a text without knowing its words' meaning: its shape, and words that hint.

`signals` gives one row of numbers between 0 and about 1 in the order of `NAMES`. Pure; knows no
model.
"""

from __future__ import annotations

import math
import re

from glasslipper.classify.codesigns import NAMES as CODE_SIGNS
from glasslipper.classify.codesigns import code_signs
from glasslipper.classify.lexicon import load, with_pairs

_WORD = re.compile(r"[^\W_]+(?:[-'][^\W\d_]+)*")
_CODE_LINE = re.compile(
    r"[;{}][ \t]*$|"
    r"^[ \t]*(?:def|class|func|fn|function|public|private|const|var|#include|SELECT|<\w+)\b|"
    r"^[ \t]*(?:import|from|using|package) [\w.]+;?[ \t]*$|\w\(\)|=>|->|::|==|!=|\+=",
    re.MULTILINE,
)
_CODE_NAMES = frozenset(
    "python javascript typescript java kotlin swift rust golang php ruby perl bash powershell sql "
    "html css nodejs react vue angular django flask laravel numpy pandas pytorch tensorflow docker "
    "kubernetes linux git regex vba matlab haskell scala lua".split()
)
_CODE_SPELLINGS = ("c++", "c#", ".net", "node.js")
_LATEX = re.compile(
    r"\\(?:frac|sqrt|sum|int|begin|left|mathbb|cdot|times|leq|geq|alpha)\b|"
    r"\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\w)"
)
"""Formulas between dollars touch both of them; variables of a shell or of PHP do not."""
_FORMULA = re.compile(r"\b[a-zA-Z]\s*(?:\^|=|\+|<=|>=)\s*-?[a-zA-Z0-9]|\d\s*[+*/^=]\s*\d")
_STAGE = re.compile(r"(?<!\*)\*[^*\n]{3,200}\*(?!\*)")
_PERSONAS = (
    "you are a", "you are my", "you are now", "you're a", "act as", "pretend", "roleplay",
    "role-play", "role play", "play the role", "take on the", "in character", "imagine you",
)  # fmt: skip
_FICTION = re.compile(
    r"\b(?:write|create|continue|compose|tell)\b[^.\n]{0,60}\b(?:story|poem|scene|song|lyrics|"
    r"novel|chapter|script|screenplay|dialogue|haiku|limerick|tale|episode|fanfic|fan fiction)\b"
)
_ERRORS = ("error", "exception", "traceback", "errno", "segfault", "undefined")
_PATH = re.compile(
    r"(?:^|\s)[\w./~-]+\.(?:py|js|ts|tsx|rs|go|java|c|cpp|h|md|json|ya?ml|toml|sh)\b"
)
_EXTENSION = re.compile(r"\.(?:py|js|ts|tsx|rs|go|java|c|cpp|h|md|json|ya?ml|toml|sh)\b")
_MONEY = re.compile(r"[$€£¥]\s?\d|\b\d[\d,.]*\s?(?:usd|eur|gbp|dollars|euros)\b", re.IGNORECASE)
_CITATION = re.compile(r"\bet al\b|\(\d{4}\)|\bv\.|\bdoi\b")
_CITATION_WORDS = ("et al", "(1", "(2", "v.", "doi")

_LEXICON = load()
_EDGE_WORDS = 12
_CAPITALS = bytes(range(65, 91))
_MOST_HITS = 8
_SHRINK = 2.0

NAMES: tuple[str, ...] = (
    *(f"topic:{name}" for name in _LEXICON.topics.names),
    *(f"share:{name}" for name in _LEXICON.topics.names),
    *(f"task:{name}" for name in _LEXICON.tasks.names),
    *(f"last:{name}" for name in _LEXICON.tasks.names),
    *(f"piece:{name}" for name in _LEXICON.pieces),
    "length",
    "lines",
    "digits",
    "marks_of_code",
    "capitals",
    "lines_of_code",
    "fence",
    "latex",
    "formula",
    "stage",
    "fiction",
    "path",
    "money",
    "citation",
    "question",
    "blank",
    "names_code",
    "persona",
    "error",
    "few_words",
    "first_person",
    "first_person_singular_start",
    *CODE_SIGNS,
)
"""What each column says."""


def signals(text: str) -> list[float]:
    """Return one number for each of `NAMES`."""
    lower = text.lower()
    words = _WORD.findall(lower)
    distinct = set(words)
    length = max(len(text), 1)
    total = max(len(words), 1)
    topics = _LEXICON.topics.counts(with_pairs(words, distinct, _LEXICON.first_of_pairs))
    hits = sum(topics) + _SHRINK
    first = _LEXICON.tasks.counts(words[:_EDGE_WORDS])
    last = _LEXICON.tasks.counts(words[-_EDGE_WORDS:])
    hints = [0.0] * len(_LEXICON.pieces)
    if not text.isascii():
        hints = [float(_has(lower, pieces)) for pieces in _LEXICON.pieces.values()]
    return [
        *(math.log1p(min(count, _MOST_HITS)) / math.log1p(_MOST_HITS) for count in topics),
        *(count / hits for count in topics),
        *(float(count > 0) for count in first),
        *(float(count > 0) for count in last),
        *hints,
        *_shape(text, lower, length),
        float(not _CODE_NAMES.isdisjoint(distinct) or _has(lower, _CODE_SPELLINGS)),
        float(_has(lower, _PERSONAS)),
        float(_has(lower, _ERRORS)),
        float(total < 6),
        min(sum(word in {"i", "my", "me", "i'm", "i've"} for word in words) / total * 10, 1.0),
        float(bool(words) and words[0] in {"i", "my", "i'm"}),
        *code_signs(text, lower, distinct),
    ]


def _shape(text: str, lower: str, length: int) -> list[float]:
    has_latex = _LATEX.search(text) is not None
    code_lines = 0 if has_latex else len(_CODE_LINE.findall(text))
    raw = text.encode("utf-8", "surrogatepass")
    digits = _count(raw, b"0123456789")
    code_marks = 0 if has_latex else _count(raw, b"{}()[];=<>_")
    return [
        math.log1p(length) / 10,
        math.log1p(text.count("\n")) / 5,
        min(digits / length * 5, 1.0),
        min(code_marks / length * 10, 1.0),
        min(_count(raw, _CAPITALS) / length * 5, 1.0),
        min(code_lines / 10, 1.0),
        float("```" in text),
        float(has_latex),
        min(len(_FORMULA.findall(text)) / 3, 1.0) if _count(raw, b"^=+<>*/") else 0.0,
        float("*" in text and _STAGE.search(text) is not None),
        float(_FICTION.search(lower) is not None),
        float(_EXTENSION.search(text) is not None and _PATH.search(text) is not None),
        float(digits > 0 and _MONEY.search(text) is not None),
        float(_has(lower, _CITATION_WORDS) and _CITATION.search(lower) is not None),
        float(text.rstrip().endswith(("?", "\uff1f"))),
        float("____" in text or "[blank]" in text),
    ]


def _has(text: str, any_of: tuple[str, ...]) -> bool:
    return any(one in text for one in any_of)


def _count(raw: bytes, of: bytes) -> int:
    return len(raw) - len(raw.translate(None, of))
