"""Texts for the retrofit's proof: documentation to learn from, and other sources to judge by.

Learned from: the topics of Python's own help, its standard library's documentation strings, and
what Debian ships where it does (man pages, licences, documents). Judged by: WikiText-2 of the
data folder, and Perl's manual, of which nothing is learned from.
"""

from __future__ import annotations

import ast
import os
import pydoc_data.topics
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from glasslipper.dsa import texts

MANUALS = Path("/usr/share/man")
LICENCES = Path("/usr/share/common-licenses")
DOCUMENTS = Path("/usr/share/doc")
PERL = Path("/usr/share/perl")
_LARGE_BYTES = 10_000
_MOST_OF_A_KIND = 40


def learned() -> dict[str, list[str]]:
    """Return texts to learn from, by source; a source that is not on this machine is absent."""
    found = {
        "pydoc topics": ["\n\n".join(pydoc_data.topics.topics.values())],
        "docstrings of the standard library": ["\n\n".join(_docstrings())],
        "Debian's licences": _read(sorted(LICENCES.glob("*"))),
        "Debian's man pages": _read(sorted(MANUALS.glob("man[1578]/*.gz"), key=_size)),
        "Debian's documents": _read(
            [*sorted(DOCUMENTS.rglob("*.txt*"), key=_size), *sorted(DOCUMENTS.rglob("README*"))]
        ),
    }
    return {name: some for name, some in found.items() if some}


def judged(split: str) -> dict[str, list[str]]:
    """Return texts to judge by; `split` is `valid` while developing and `test` for the proof."""
    data = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
    wiki = data / "text" / f"wikitext2_{split}.txt"
    found = {
        "WikiText-2": [wiki.read_text(encoding="utf-8")] if wiki.is_file() else [],
        "Perl's manual": ["\n\n".join(_perl(0 if split == "test" else 1))],
    }
    return {name: some for name, some in found.items() if any(some)}


def _read(paths: Sequence[Path]) -> list[str]:
    large = [path for path in paths if path.is_file() and _size(path) < -_LARGE_BYTES // 2]
    return [texts.read(path) for path in large[:_MOST_OF_A_KIND] if "perl" not in path.name]


def _size(path: Path) -> int:
    return -path.stat().st_size


def _docstrings() -> Iterator[str]:
    """Yield what the modules of the standard library say about themselves."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                words = ast.get_docstring(node)
                if words and len(words) > 400:
                    yield words


def _perl(parity: int) -> Iterator[str]:
    """Yield every second manual page among Perl's modules."""
    pages = sorted(path for path in PERL.rglob("*.p[mo]d") if path.is_file())
    pages += sorted(path for path in PERL.rglob("*.pm") if path.is_file())
    seen: set[str] = set()
    for number, path in enumerate(pages):
        if number % 2 != parity or path.name in seen:
            continue
        seen.add(path.name)
        _, mark, pod = path.read_text(encoding="utf-8", errors="replace").partition("=head1")
        if mark and len(pod) > 4 * _LARGE_BYTES and "Unicode" not in str(path):
            yield pod.partition("=cut\n")[0]
