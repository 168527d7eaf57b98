"""In which form a task wants its answer, seen from its words; and when two answers say the same.

Only what a look at the request tells: no model is asked.
"""

from __future__ import annotations

import json
import re
from typing import cast

import msgspec

from glasslipper.kernel.messages import Request
from glasslipper.puppeteer.answers import sense

_CODE = re.compile(r"\b(function|class|script|program|regex|code|SQL)\b", re.IGNORECASE)
_JSON = re.compile(r"\bJSON\b")
_NUMBER = re.compile(r"\b(how (many|much|old|far|long)|what is [\d(])", re.IGNORECASE)
_WORDS = re.compile(r"\b(write|compose|draft|tell|explain|describe|summari[sz]e|translate)\b", re.I)
_LAST_NUMBER = re.compile(r"[-+]?\$?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)

SHORT_CHARACTERS = 160


def form_of(request: Request, task: str) -> str:
    """Return `json`, `code`, `number`, `words`, or `other`."""
    if request.response_format.kind != "text" or _JSON.search(task):
        return "json"
    if _CODE.search(task):
        return "code"
    if _NUMBER.search(task):
        return "number"
    return "words" if _WORDS.search(task) else "other"


def answer_in(form: str, text: str) -> str:
    """Return the answer within a text: the last number, the JSON, the code; else all of it."""
    match form:
        case "number":
            found = _LAST_NUMBER.findall(text)
            return found[-1].replace("$", "").replace(",", "") if found else ""
        case "json":
            return _json(text)
        case "code":
            fenced = _FENCE.search(text)
            return fenced[1].strip("\n") if fenced else text.strip().strip("`")
        case _:
            return text.strip()


def meaning_of(form: str, answer: str) -> str:
    """Return what an answer says: equal for answers that say the same."""
    if form == "json":
        try:
            return json.dumps(_lowered(msgspec.json.decode(answer)), sort_keys=True)
        except msgspec.DecodeError:
            return answer
    if form == "number":
        try:
            return repr(round(float(answer), 4) + 0.0)
        except ValueError:
            return sense(answer)
    return sense(answer)


def check_of(form: str, answer: str) -> bool | None:
    """Return whether an answer has its form, where a look tells."""
    if form == "json":
        try:
            msgspec.json.decode(answer)
        except msgspec.DecodeError:
            return False
        return True
    if form == "number":
        return bool(answer) or False
    return None


def _json(text: str) -> str:
    for opening, closing in ("{}", "[]"):
        begin, end = text.find(opening), text.rfind(closing)
        if 0 <= begin < end:
            return text[begin : end + 1]
    return text.strip()


def _lowered(value: object) -> object:
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {key: _lowered(one) for key, one in members.items()}
    if isinstance(value, list):
        return [_lowered(one) for one in cast("list[object]", value)]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
