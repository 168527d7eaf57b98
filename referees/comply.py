"""llm-comply: does each inbound dialect look as its specification says, over every provider?

Natively a dialect is backed by `local/smol`, or by llmock speaking the same dialect; translated,
by llmock speaking another one, and by a second gateway of ours in front of `local/smol`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from glasslipper.testing.served import Served
from referees import places, stand
from referees.verdict import Verdict, absent

VERSION = "0.5.0"
NAME = "llm-comply"
LOCAL = "local/smol"

FORMATS = {
    "openai-chat": ("Authorization", True),
    "open-responses": ("Authorization", True),
    "anthropic": ("x-api-key", False),
    "google-genai": ("x-goog-api-key", False),
}
"""The dialects, with the header that carries the key, and whether it says Bearer."""

WAIT_S = 900.0

BLIND = {
    "openai-chat": "chat-image-input",
    "open-responses": "image-input",
    "anthropic": "anth-image-input",
    "google-genai": "google-image-input",
}
"""Tests that need a model which sees; `local/smol` reads text."""


def referee(*, quick: bool) -> Iterator[Verdict]:
    """Judge every pair of dialect and provider."""
    try:
        program = places.python(NAME, f"{NAME}=={VERSION}") / NAME
    except places.MissingError as why:
        yield absent(NAME, VERSION, "every pair", str(why))
        return
    try:
        with stand.llmock() as mock, stand.gateway("comply", **mock.environ()) as served:
            for number, (slug, model) in enumerate(stand.MODELS.items()):
                chosen = list(FORMATS)[number : number + 1] if quick else FORMATS
                for dialect in chosen:
                    yield judge(program, served, dialect, model, f"{dialect} over llmock as {slug}")
    except places.MissingError as why:
        yield absent(NAME, VERSION, "every pair over llmock", str(why))
    if not quick:
        yield from _over_local(program)


def _over_local(program: places.Path) -> Iterator[Verdict]:
    with stand.gateway("comply-local") as inner:
        for dialect in FORMATS:
            yield judge(program, inner, dialect, LOCAL, f"{dialect} over local/smol")


def judge(program: places.Path, served: Served, dialect: str, model: str, subject: str) -> Verdict:
    """Run one format's tests against one model."""
    left_out = BLIND[dialect] if model == LOCAL else ""
    verdict = Verdict(referee=NAME, version=VERSION, subject=subject)
    stand.mention(f"{NAME}: {subject}")
    header, bearer = FORMATS[dialect]
    command = [program, "--format", dialect, "--base-url", f"http://{served.host}/v1"]
    command += ["--api-key", served.key, "--model", model, "--json", "--auth-header", header]
    command += [] if bearer else ["--no-bearer"]
    command += ["--header", "anthropic-version:2023-06-01"] if dialect == "anthropic" else []
    done = stand.run_quietly(command, wait_s=WAIT_S)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        verdict.note("the whole run", (done.stderr or done.stdout)[-300:] or "it said nothing")
        return verdict
    for test in report["results"]:
        if test["id"] == left_out:
            verdict.skip(f"{left_out}: {model} reads text only")
        elif test["status"] == "skipped":
            verdict.skip(f"{test['id']}: {'; '.join(test.get('errors', []))}")
        else:
            failed = test["status"] != "passed"
            verdict.note(test["id"], "; ".join(test.get("errors", [])) if failed else None)
    return verdict
