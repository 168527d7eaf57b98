"""Signs that a text is about a program: spellings, names, traces of running one, wishes for one.

Written from what code, shells and error messages look like in general. A sign is a feature that a
head weighs; none of them decides. Knows neither topics nor languages of code (`code` tells those).
"""

from __future__ import annotations

import math
import re
from collections.abc import Set as AbstractSet

_NAME = re.compile(r"[a-z0-9]_[a-z]|[a-z][A-Z]")
_CALL = re.compile(r"\w\([^()\n]{0,60}\)")
_SHELL = re.compile(
    r"\b(?:sudo|apt|apt-get|pip3?|npm|npx|yarn|git|docker|kubectl|systemctl|chmod|grep|awk|sed|ssh|"
    r"scp|curl|wget|ffmpeg|cmake|gcc|conda|brew) (?:-|install|run|[a-z./])|"
    r"\s--?[a-z][\w-]+(?=[ =\n])"
)
_FILE = re.compile(
    r"\.(?:py|ipynb|js|jsx|ts|tsx|rs|go|java|kt|swift|c|cc|cpp|h|hpp|cs|rb|php|sql|sh|bat|ps1|json|"
    r"ya?ml|toml|xml|html?|css|scss|csv|log|conf|ini|env|exe|dll|jar|vue)\b"
)
_TAG = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>")
_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:(?:const|let|var|int|float|double|string|auto|val|final|static) [\w .<>\[\]]*|"
    r"[\w.\[\]]+)\s*(?:=|\+=|:=)\s*\S",
    re.MULTILINE,
)
_QUERY = re.compile(
    r"\bselect\b[^.?]{1,80}\bfrom\b|\b(?:inner|left|outer) join\b|\b(?:group|order) by\b|"
    r"\binsert into\b|\bcreate table\b"
)
_QUERY_WORDS = ("select", "join", " by", "insert", "create table")
_TRACE = re.compile(
    r"traceback|\bat [\w.$]+\(|\bline \d|(?<=\w)(?:error|exception)\b|segmentation fault|"
    r"\bexit code\b|stack ?trace"
)
_TRACE_WORDS = ("traceback", "error", "exception", "line ", "fault", "exit code", "trace")
_MAKE = re.compile(
    r"\b(?:write|create|implement|build|make|code|develop|give|generate|provide|show|need|want|add|"
    r"design|complete|finish|program)\b[^.\n?]{0,80}\b(?:code|function|script|program|class|method|"
    r"api|app|application|website|web ?page|quer(?:y|ies)|component|algorithm|regex|bot|tests?|"
    r"command|macro|module|library|plugin|extension|parser|compiler|database|schema|endpoint|server|"
    r"client|crawler|scraper|dockerfile|makefile|simulator|shader|loop|one-liner)\b"
)
_MEND = re.compile(
    r"\b(?:fix|debug|refactor|optimi[sz]e|convert|port|rewrite|improve|explain|review|document|"
    r"understand|analy[sz]e|modify|change|correct|simplify|what does|why does|output of)\b"
    r"[^.\n?]{0,60}\b(?:code|function|script|program|class|method|query|component|algorithm|regex|"
    r"bug|error|implementation|snippet|loop|output|compile|css|html)\b"
)
_NAMED = frozenset(
    (
        "python python3 javascript typescript java kotlin swift swiftui rust golang php ruby "
        "perl bash powershell sql mysql postgres postgresql sqlite html html5 css css3 nodejs "
        "react reactjs vue vuejs angular django flask fastapi laravel numpy pandas pytorch "
        "tensorflow keras sklearn scikit-learn matplotlib opencv selenium docker kubernetes "
        "terraform ansible nginx git github linux vba matlab haskell scala lua julia fortran "
        "cobol assembly verilog vhdl cuda opengl unity unreal wpf qt tkinter streamlit gradio "
        "jquery bootstrap tailwind tailwindcss nextjs mongodb redis graphql regex json yaml xml "
        "api sdk cli webpack npm pip xcode jupyter arduino esp32"
    ).split()
)

NAMES: tuple[str, ...] = (
    "many_names",
    "calls",
    "trace",
    "shell",
    "files",
    "tags",
    "query",
    "assignments",
    "languages",
    "makes_code",
    "mends_code",
)
"""What each column says."""


def code_signs(text: str, lower: str, words: AbstractSet[str]) -> list[float]:
    """Return one number between 0 and 1 for each of `NAMES`.

    `lower` is the text in small letters, `words` its distinct words.
    """
    return [
        _upto(len(_NAME.findall(text)), 8),
        _upto(len(_CALL.findall(text)), 8) if "(" in text else 0.0,
        float(_has(lower, _TRACE_WORDS) and _TRACE.search(lower) is not None),
        _upto(len(_SHELL.findall(text)), 4),
        _upto(len(_FILE.findall(lower)), 3) if "." in text else 0.0,
        _upto(len(_TAG.findall(text)), 6) if "<" in text else 0.0,
        float(_has(lower, _QUERY_WORDS) and _QUERY.search(lower) is not None),
        _upto(len(_ASSIGNMENT.findall(text)), 6) if "=" in text else 0.0,
        _upto(len(words & _NAMED), 3),
        float(_MAKE.search(lower) is not None),
        float(_MEND.search(lower) is not None),
    ]


def _upto(count: int, most: int) -> float:
    return min(math.log1p(count) / math.log1p(most), 1.0)


def _has(text: str, any_of: tuple[str, ...]) -> bool:
    return any(one in text for one in any_of)
