"""Which human language a text is written in, by its script, its small words and its letters.

Code is set aside first: fenced blocks, and what stands between backticks. Languages that share a
script are told apart by the words that every sentence needs, by the endings of other words and by
letters that only some of them have. The answer is an ISO 639-1 code, or `None` where there is too
little to go by. Pure.
"""

from __future__ import annotations

import re
from importlib import resources

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_LOOKED_AT = 500
_ENDINGS = (5, 4, 3, 2)
_SHORTEST_WITH_ENDING = 5

_BY_SCRIPT: tuple[tuple[str, str], ...] = (
    ("ja", "\u3040-\u30ff"),
    ("ko", "\uac00-\ud7af\u1100-\u11ff"),
    ("zh", "\u4e00-\u9fff\u3400-\u4dbf"),
    ("th", "\u0e00-\u0e7f"),
    ("he", "\u0590-\u05ff"),
    ("el", "\u0370-\u03ff"),
    ("bn", "\u0980-\u09ff"),
    ("ta", "\u0b80-\u0bff"),
    ("te", "\u0c00-\u0c7f"),
    ("gu", "\u0a80-\u0aff"),
    ("pa", "\u0a00-\u0a7f"),
    ("kn", "\u0c80-\u0cff"),
    ("ml", "\u0d00-\u0d7f"),
    ("ka", "\u10a0-\u10ff"),
    ("hy", "\u0530-\u058f"),
    ("am", "\u1200-\u137f"),
)
_SCRIPTS = [(name, re.compile(f"[{letters}]")) for name, letters in _BY_SCRIPT]
_SHARED = (
    (re.compile("[\u0400-\u052f]"), ("ru", "uk", "bg")),
    (re.compile("[\u0600-\u06ff]"), ("ar", "fa", "ur")),
    (re.compile("[\u0900-\u097f]"), ("hi", "mr")),
)
_LATIN = tuple("en es fr de pt it nl sv da nb fi pl cs ro hu tr vi id".split())


def _read() -> tuple[dict[str, str], dict[str, tuple[tuple[str, float], ...]]]:
    """Return the letters of each language, and the languages of each small word.

    A word weighs less the more languages share it.
    """
    letters: dict[str, str] = {}
    owners: dict[str, list[str]] = {}
    table = resources.files("glasslipper.classify") / "languages.tsv"
    for line in table.read_text(encoding="utf-8").splitlines():
        name, only_its, words = line.split("\t")
        letters[name] = only_its
        for word in words.split():
            owners.setdefault(word, []).append(name)
    weights = {
        word: tuple((name, len(names) ** -0.5) for name in names) for word, names in owners.items()
    }
    return letters, weights


_LETTERS, _WORDS = _read()


def language(text: str) -> str | None:
    """Return the language of a text.

    >>> language("Wie spät ist es?")
    'de'
    """
    prose = _CODE.sub(" ", text[:_LOOKED_AT])
    if not prose.isascii():
        total = sum(map(str.isalpha, prose)) or 1
        found = _by_script(prose, total)
        if found is not None:
            return found
    return _by_words(prose, _LATIN, least=0.4 if not prose.isascii() else 0.7)


def _by_script(prose: str, total: int) -> str | None:
    """Return the language of a script that is not Latin, where it makes up the text."""
    shares = {name: len(pattern.findall(prose)) / total for name, pattern in _SCRIPTS}
    if shares["ja"] > 0.08 and shares["ja"] + shares["zh"] > 0.25:
        return "ja"
    best = max(shares, key=lambda name: shares[name])
    if shares[best] > 0.25:
        return best
    for pattern, languages in _SHARED:
        if len(pattern.findall(prose)) / total > 0.25:
            return _by_words(prose, languages, least=0.0) or languages[0]
    return None


def _ending(word: str) -> tuple[tuple[str, float], ...]:
    """Return what the longest known ending of a word says; half as much as a small word."""
    if len(word) < _SHORTEST_WITH_ENDING:
        return ()
    for size in _ENDINGS:
        found = _WORDS.get("-" + word[-size:])
        if found:
            return tuple((name, weight / 2) for name, weight in found)
    return ()


def _by_words(prose: str, languages: tuple[str, ...], *, least: float) -> str | None:
    scores = dict.fromkeys(languages, 0.0)
    lower = prose.lower()
    for word in _WORD.findall(lower):
        for name, weight in _WORDS.get(word) or _ending(word):
            if name in scores:
                scores[name] += weight
    if not prose.isascii():
        for name in languages:
            scores[name] += 0.5 * sum(map(lower.count, _LETTERS[name])) ** 0.7
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < max(least, 1e-9):
        return None
    return best
