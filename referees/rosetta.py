"""llm-rosetta as a second opinion: what do we send to a provider, and what would it have sent?

The same request goes through the gateway, whose provider llmock writes down what it got, and
through llm-rosetta. Members that differ must stand in `rosetta_judged.json`, each with the
reason why ours is right or both are; any other difference fails. Requests only.
"""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from glasslipper.testing.served import Served
from referees import asking, places, stand
from referees.asking import Address
from referees.rosetta_canon import canonical
from referees.rosetta_fixtures import FIXTURES
from referees.verdict import Verdict, absent

NAME = "llm-rosetta"
VERSION = "0.13.0"
JUDGED = Path(__file__).with_name("rosetta_judged.json")
SCRIPT = Path(__file__).parent / "clients" / "rosetta_translate.py"
WAIT_S = 120.0

SOURCES = {
    "chat": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic",
    "gemini": "google",
}
TARGETS = {"openai": "openai_chat", "anthropic": "anthropic", "google": "google"}


class Judgement(Struct, frozen=True, forbid_unknown_fields=True):
    """A difference that is known: where, which way, and why it is right; `*` stands for any."""

    where: str
    member: str
    kind: str
    why: str


class Difference(Struct, frozen=True):
    """A member that both do not send alike."""

    where: str
    member: str
    kind: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.member} {self.kind}: ours {self.ours}, theirs {self.theirs}"


def referee(*, quick: bool) -> Iterator[Verdict]:
    """Compare every fixture over every pair of unlike dialect and provider."""
    del quick
    try:
        python = places.python(NAME, f"{NAME}=={VERSION}") / "python"
        with stand.llmock() as mock, stand.gateway("rosetta", **mock.environ()) as served:
            yield from _compare(python, mock, served)
    except places.MissingError as why:
        yield absent(NAME, VERSION, "every fixture", str(why))


def _compare(python: Path, mock: stand.Llmock, served: Served) -> Iterator[Verdict]:
    judged = msgspec.json.decode(JUDGED.read_bytes(), type=list[Judgement])
    for dialect, fixtures in FIXTURES.items():
        for slug, target in TARGETS.items():
            if SOURCES[dialect] == target:
                continue
            subject = f"{dialect} to {slug}"
            stand.mention(f"{NAME}: {subject}")
            verdict = Verdict(referee=NAME, version=VERSION, subject=subject)
            model = stand.MODELS[slug]
            cases = [
                {"body": _body(dialect, body, model), "source": SOURCES[dialect], "target": target}
                for body in fixtures.values()
            ]
            translated = _theirs(python, cases)
            for (name, body), theirs in zip(fixtures.items(), translated, strict=True):
                ours = _ours(mock, served, dialect, model, body)
                for one in (ours, theirs):
                    if "body" in one:
                        one["body"] = canonical(target, one["body"])
                _judge(verdict, f"{subject}: {name}", ours, theirs, judged)
            yield verdict


def _body(dialect: str, body: Mapping[str, Any], model: str) -> dict[str, Any]:
    return dict(body) if dialect == "gemini" else {**body, "model": model}


def _theirs(python: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [python, SCRIPT],
        input=json.dumps(cases),
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=WAIT_S,
    )
    if done.returncode:
        raise places.MissingError(f"it does not run: {done.stderr[-300:]}")
    return json.loads(done.stdout)


def _ours(
    mock: stand.Llmock, served: Served, dialect: str, model: str, body: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what reaches the provider."""
    mock.script()
    path = asking.path_of(dialect, model, stream=False)
    said = json.dumps(_body(dialect, body, model)).encode()
    to = Address(host=served.host, key=served.key)
    reply = asking.send(to, dialect, path, said, stream=False)
    requests = mock.requests()
    if reply.status != 200 or not requests:
        return {"error": f"the gateway said {reply.status}: {reply.body[:200]!r}"}
    return {"body": requests[-1]["body"]}


def _judge(
    verdict: Verdict,
    where: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    judged: list[Judgement],
) -> None:
    if "error" in ours:
        verdict.note(where, ours["error"])
        return
    if "error" in theirs:
        verdict.skip(f"{where}: llm-rosetta cannot: {theirs['error']}")
        return
    found = list(_differences(where, ours["body"], theirs["body"]))
    unknown = [str(one) for one in found if not any(_covers(j, one) for j in judged)]
    verdict.note(where, "; ".join(unknown) or None)


def _covers(judgement: Judgement, found: Difference) -> bool:
    return (
        fnmatch.fnmatchcase(found.where, judgement.where)
        and fnmatch.fnmatchcase(found.member, judgement.member)
        and judgement.kind in ("*", found.kind)
    )


def _differences(where: str, ours: object, theirs: object) -> Iterator[Difference]:
    left, right = dict(_flat(ours)), dict(_flat(theirs))
    for member in sorted({*left, *right}):
        mine, other = left.get(member, "nothing"), right.get(member, "nothing")
        if mine != other:
            kind = {mine: "missing", other: "added"}.get("nothing", "unlike")
            yield Difference(where, re.sub(r"^\.", "", member), kind, mine[:90], other[:90])


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Return the leaves of a JSON value; a list of one text part is the text."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{path}.{index}")
    else:
        yield path, json.dumps(value, ensure_ascii=False)
