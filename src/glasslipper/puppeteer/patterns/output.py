"""What is read out of a reply: one typed value for each kind of output.

Small models forget the form that they were asked for, so reading is lenient about everything
around what is wanted and strict about the thing itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from glasslipper.puppeteer.patterns.document import Pattern


class Conclusion(Struct, frozen=True, kw_only=True, tag=True):
    """An answer to the task, and the thinking that came before it."""

    answer: str
    thinking: str = ""


class Program(Struct, frozen=True, kw_only=True, tag=True):
    """Python code; empty where the reply held none."""

    code: str


class Steps(Struct, frozen=True, kw_only=True, tag=True):
    """What to do, one after another."""

    steps: tuple[str, ...]


class Exchange(Struct, frozen=True, kw_only=True, tag=True):
    """A question and its answer."""

    question: str
    answer: str


class Verdict(Struct, frozen=True, kw_only=True, tag=True):
    """Whether an answer is right, if that was said, and where its fault is."""

    right: bool | None
    fault: str = ""


class Note(Struct, frozen=True, kw_only=True, tag=True):
    """Words for whoever comes next."""

    text: str


class FileWanted(Struct, frozen=True, kw_only=True, tag=True):
    """The name of a file to be read."""

    name: str


class ToolWanted(Struct, frozen=True, kw_only=True, tag=True):
    """A tool to be called; `name` is empty where the reply was no call."""

    name: str
    arguments: Mapping[str, object]


class _Call(Struct):
    name: str
    arguments: dict[str, object] = {}


Output = Conclusion | Program | Steps | Exchange | Verdict | Note | FileWanted | ToolWanted

_ANSWER = re.compile(r"^\W*(?:final )?answer\W*?:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_QUESTION = re.compile(r"^\W*question\W*?:[ \t*]*", re.IGNORECASE | re.MULTILINE)
_VERDICT = re.compile(r"\b(right|correct|wrong|incorrect|not correct)\b", re.IGNORECASE)
_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)
_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+(.+)$", re.MULTILINE)
_CODE_BEGINS = re.compile(r"^(?:def |import |from |print\(|[A-Za-z_]\w* *=)", re.MULTILINE)


def read(pattern: Pattern, reply: str) -> Output:
    """Return what the reply says, as the pattern's kind of output."""
    text = reply.strip()
    match pattern.output:
        case "answer":
            return _conclusion(text)
        case "program":
            return Program(code=_code(text))
        case "steps":
            found = tuple(item.strip() for item in _ITEM.findall(text))
            return Steps(steps=found or tuple(filter(None, (text,))))
        case "exchange":
            return _exchange(text)
        case "verdict":
            return _verdict(text)
        case "file":
            return FileWanted(name=(text.splitlines() or [""])[0].strip("`'\" .-*"))
        case "call":
            return _call(text)
        case "note":
            return Note(text=text)


def _conclusion(text: str) -> Conclusion:
    marks = list(_ANSWER.finditer(text))
    if not marks:
        return Conclusion(answer=text)
    last = marks[-1]
    return Conclusion(answer=text[last.end() :].strip(), thinking=text[: last.start()].strip())


def _code(text: str) -> str:
    fenced = _FENCE.search(text)
    if fenced:
        return fenced[1].strip("\n")
    begins = _CODE_BEGINS.search(text)
    return text[begins.start() :].removesuffix("```").rstrip() if begins else ""


def _exchange(text: str) -> Exchange:
    concluded = _conclusion(text)
    asked = _QUESTION.search(concluded.thinking)
    question = concluded.thinking[asked.end() :] if asked else concluded.thinking
    return Exchange(question=question.strip(), answer=concluded.answer)


def _verdict(text: str) -> Verdict:
    said = _VERDICT.search(text)
    if said is None:
        return Verdict(right=None, fault=text)
    rest = text[said.end() :].strip(" \n.:-*")
    return Verdict(right=said[1].lower() in ("right", "correct"), fault=rest)


def _call(text: str) -> ToolWanted:
    begin, end = text.find("{"), text.rfind("}")
    try:
        wish = msgspec.json.decode(text[begin : end + 1], type=_Call)
    except msgspec.DecodeError:
        return ToolWanted(name="", arguments={})
    return ToolWanted(name=wish.name, arguments=wish.arguments)
