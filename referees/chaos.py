"""llmock: what becomes of every fault of a provider, in every dialect, seen from behind us?

A textbook client asks through the gateway while llmock fails in a scripted way; then llmock says
what it thinks of how it was treated. Each question runs on a model of its own, so that no
breaker opens. A cell passes if llmock finds nothing, no truncated answer passes for a whole one,
no answer of ours is malformed, and the gateway never says 500.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from glasslipper.testing.served import Served
from referees import asking, places, stand
from referees.asking import Address, Reply
from referees.verdict import Verdict, absent

NAME = "llmock"

BETWEEN_BYTES_S = 1.0
STALL_S = 3.0
ANSWER = "One word after another, so that a fault never comes with the very last of them."
CHUNK_MS = 25
"""Without a pause llmock has sent everything before anybody can hang up, and cannot see it."""


class Case(Struct, frozen=True, kw_only=True):
    """One fault, and what a client must see in the end: an answer, an error, or either."""

    name: str
    behaviours: tuple[Mapping[str, Any], ...]
    streams: tuple[bool, ...] = (False, True)
    ends: str = "answer"
    tool: bool = False


def _fail(status: int, *, ends: str = "answer", **more: Any) -> Case:
    return Case(
        name=" ".join([str(status), *more]),
        behaviours=({"type": "fail", "status": status, **more},),
        ends=ends,
    )


def _break(kind: str, after: int, **more: Any) -> Case:
    fault = {"type": "stream_fault", "kind": kind, "after_chunks": after, **more}
    said = {"type": "reply", "text": ANSWER}
    return Case(name=f"{kind} after {after}", behaviours=(said, fault), streams=(True,))


def _on_tool(kind: str) -> Case:
    return Case(
        name=f"tool {kind}",
        behaviours=({"type": "tool_fault", "kind": kind},),
        tool=True,
        ends="either",
    )


CASES: tuple[Case, ...] = (
    *(_fail(status, ends="error") for status in (400, 401, 403, 404, 422)),
    *(_fail(status) for status in (408, 409, 429, 500, 502, 503, 504, 529)),
    _fail(429, retry_after=1),
    _fail(503, retry_after=1),
    Case(name="outage", behaviours=({"type": "fail", "status": 503, "times": None},), ends="error"),
    _fail(
        400, ends="error", code="context_length_exceeded",
        message="This model's maximum context length is 8192 tokens.",
    ),
    *(_break("disconnect", after) for after in (0, 1, 3)),
    *(_break("truncate", after) for after in (0, 1, 3)),
    *(_break("malformed", after) for after in (0, 1, 3)),
    *(_break("stall", after, stall_seconds=STALL_S) for after in (0, 2)),
    Case(name="delay", behaviours=({"type": "delay", "seconds": 0.3},)),
    Case(
        name="slow first token",
        behaviours=({"type": "slow_first_token", "seconds": 0.3},),
        streams=(True,),
    ),
    Case(name="scripted reply", behaviours=({"type": "reply", "text": "Grüße, 世界 🌍"},)),
    Case(
        name="scripted tool call",
        behaviours=(
            {"type": "reply", "tool_calls": [{"name": "weather", "arguments": {"city": "Rom"}}]},
        ),
        tool=True,
    ),
    Case(
        name="tool call, then disconnect",
        behaviours=(
            {"type": "reply", "tool_calls": [{"name": "weather", "arguments": {"city": "Rom"}}]},
            {"type": "stream_fault", "kind": "disconnect", "after_chunks": 2},
        ),
        streams=(True,),
        tool=True,
    ),
    _on_tool("malformed_arguments"),
    _on_tool("unknown_tool"),
)  # fmt: skip

QUICK = frozenset({"400", "429", "truncate after 1", "malformed after 1", "disconnect after 3"})
QUICK_PROVIDERS = ("openai", "anthropic")


def referee(*, quick: bool) -> Iterator[Verdict]:
    """Judge every fault over every pair of dialect and provider."""
    cases = [case for case in CASES if not quick or case.name in QUICK]
    try:
        with stand.llmock("--stream-chunk-delay-ms", str(CHUNK_MS)) as mock:
            for slug in stand.MODELS:
                yield from _provider(mock, slug, cases, quick=quick)
    except places.MissingError as why:
        yield absent(NAME, stand.LLMOCK, "every fault", str(why))


def _provider(
    mock: stand.Llmock, slug: str, cases: Sequence[Case], *, quick: bool
) -> Iterator[Verdict]:
    patience = {"GLASSLIPPER_BETWEEN_BYTES_TIMEOUT_S": str(BETWEEN_BYTES_S)}
    for number, dialect in enumerate(asking.DIALECTS):
        if quick and (number or slug not in QUICK_PROVIDERS):
            continue
        subject = f"faults of {slug}, asked in {dialect}"
        stand.mention(f"{NAME}: {subject}")
        verdict = Verdict(referee=NAME, version=stand.LLMOCK, subject=subject)
        with stand.gateway(f"chaos-{slug}-{dialect}", **mock.environ(), **patience) as served:
            models = itertools.cycle(_models(served, slug))
            for case, stream in itertools.chain.from_iterable(
                ((case, stream) for stream in case.streams) for case in cases
            ):
                name = f"{case.name}{', streamed' if stream else ''}"
                verdict.note(name, _run(mock, served, next(models), dialect, case, stream))
        yield verdict


def _models(served: Served, slug: str) -> list[str]:
    """Return the models of a provider that answer questions."""
    _, answer = served.call("GET", "/v1/models")
    return [
        model["id"]
        for model in answer["data"]
        if f"{model['id']}@{slug}" in model["endpoints"]
        and model["architecture"]["output_modalities"] == ["text"]
    ]


def _run(
    mock: stand.Llmock, served: Served, model: str, dialect: str, case: Case, stream: bool
) -> str | None:
    """Return what is wrong with one cell, or `None`."""
    mock.script(*case.behaviours)
    to = Address(host=served.host, key=served.key)
    try:
        replies = asking.ask(to, dialect, model, text="Is it?", stream=stream, tool=case.tool)
    except OSError as error:
        return f"no answer: {error!r}"
    wrong = [why for reply in replies for why in _wrong(reply)]
    wrong += _wrong_end(replies, case)
    wrong += [_finding(one) for one in mock.verdict()["findings"]]
    return "; ".join(dict.fromkeys(wrong)) or None


def _wrong(reply: Reply) -> list[str]:
    wrong = [f"frame: {fault}" for fault in reply.reading.faults]
    if reply.status == 500:
        wrong.append(f"the gateway said 500: {reply.body[:120]!r}")
    if reply.status == 200 and reply.reading.ending == "cut":
        wrong.append("the answer ends without an end and without an error")
    if reply.status >= 400 and reply.reading.error is None:
        wrong.append(f"status {reply.status} without an error object: {reply.body[:120]!r}")
    return wrong


def _wrong_end(replies: Sequence[Reply], case: Case) -> list[str]:
    last = replies[-1]
    said = f"{last.status} {json.dumps(last.reading.error, ensure_ascii=False)[:160]}"
    match case.ends:
        case "answer" if not last.is_good:
            return [f"after {len(replies)} tries still {said}"]
        case "error" if last.is_good:
            return ["an answer where the provider gave none"]
        case "error" if case.name[:3] in ("400", "422") and last.status != 400:
            return [f"the request is at fault, the client was told {said}"]
        case _:
            return []


def _finding(one: Mapping[str, Any]) -> str:
    mark = "FAIL" if one["severity"] == "error" else "WARN"
    return f"{mark} {one['code']}: {one['title']}"
