"""Puts stored prompts to two models and a judge, through a server, and sums up what came out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

from glasslipper.cli.client import Server
from glasslipper.cli.refusal import Refusal
from glasslipper.kernel.money import nanousd, usd_text
from glasslipper.report import again, noninferiority, words
from glasslipper.report.again import Stored, Verdict
from glasslipper.report.sections.overpaying import FEWEST, MARGIN

APP = "glasslipper ask-again"
"""As whose calls these stand in the ledger; the report does not take them for a workload."""

_TOO_LONG = "context_length_exceeded"


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Usage(Struct):
    cost: float = 0.0


class _Completion(Struct):
    choices: list[_Choice]
    usage: _Usage = msgspec.field(default_factory=_Usage)


class Asking:
    """Two models, perhaps a judge, and the verdicts so far."""

    def __init__(self, server: Server, *, main: str, other: str, judge: str | None) -> None:
        self.main, self.other = main, other
        self.verdicts: Counter[str] = Counter()
        self.undecided = 0
        self.cost_nanousd = 0
        server.name_app(APP)
        self._server = server
        self._judge = judge

    def ask(self, prompt: Stored) -> None:
        """Ask one prompt again and note in the ledger what came out.

        Raises:
            Refusal: A model could not be asked; what was noted before stays.
        """
        verdict = self._compare(prompt)
        if verdict is None:
            self.undecided += 1
            return
        told = {
            "generation_id": prompt.generation_id,
            "model": self.other,
            "better": verdict.better,
            "judged_by": verdict.judged_by,
        }
        self._server.call("POST", "/generation/comparison", told)
        self.verdicts[verdict.better] += 1

    def _compare(self, prompt: Stored) -> Verdict | None:
        try:
            other = self._answer(self.other, prompt)
        except Refusal as error:
            if error.code != _TOO_LONG:
                raise
            return Verdict(better="this", judged_by="check:context")
        this = self._answer(self.main, prompt)
        plain = again.checked(prompt.kept, this, other)
        if plain is not None:
            return plain
        if self._judge is None:
            return again.unjudged()
        forward = self._judged(self._judge, again.question(prompt.kept, this, other))
        back = self._judged(self._judge, again.question(prompt.kept, other, this))
        return again.both_ways(forward, back, self._judge)

    def _answer(self, model: str, prompt: Stored) -> str:
        kept = prompt.kept
        wish: dict[str, object] = {"max_tokens": kept.max_tokens} if kept.max_tokens else {}
        if kept.as_json:
            wish["response_format"] = {"type": "json_object"}
        return self._call(model, kept.messages, wish)

    def _judged(self, judge: str, messages: Sequence[dict[str, str]]) -> str | None:
        wish: dict[str, object] = {"max_tokens": again.MOST_JUDGE_TOKENS, "temperature": 0}
        return again.read(self._call(judge, messages, wish))

    def _call(self, model: str, messages: Sequence[dict[str, str]], wish: dict[str, object]) -> str:
        body = {"model": model, "messages": list(messages), **wish}
        answer = self._server.call("POST", "/chat/completions", body)
        told = msgspec.convert(answer, _Completion)
        self.cost_nanousd += nanousd(f"{told.usage.cost:.9f}")
        return told.choices[0].message.content or ""


class Outcome(Struct, frozen=True, kw_only=True):
    """What asking again has shown, of the prompts of this run."""

    main: str
    other: str
    asked: int
    better: int
    worse: int
    undecided: int
    cost_nanousd: int
    verdict: noninferiority.Verdict | None
    suffices: bool
    command: str

    def as_json(self) -> object:
        """Return it for programs."""
        return msgspec.to_builtins(self)

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        same = self.asked - self.better - self.worse
        yield (
            f"{self.asked:,} prompts: {self.other} did worse than {self.main} on {self.worse:,}, "
            f"better on {self.better:,}, as well on {same:,}."
        )
        if self.undecided:
            yield f"About {self.undecided:,} more the judge gave no verdict."
        if self.verdict is not None:
            behind = self.verdict.behind
            yield (
                f"Difference {words.points(behind.value)}, 95 % between {words.points(behind.low)}"
                f" and {words.points(behind.high)}: {self._said()}."
            )
        yield f"It cost {usd_text(self.cost_nanousd)}. `glasslipper report` counts every run."

    def _said(self) -> str:
        margin = words.percent(MARGIN)
        if self.suffices:
            return f"it suffices, as less than {margin} behind"
        if self.asked < FEWEST:
            return f"too few to say; from {FEWEST} prompts on it is tested"
        return f"not shown to be less than {margin} behind"


def outcome(asking: Asking, workloads: Sequence[str]) -> Outcome:
    """Sum up what was asked."""
    counts = asking.verdicts
    verdict = noninferiority.of_pairs(counts["other"], counts["this"], counts.total(), MARGIN)
    suffices = verdict is not None and counts.total() >= FEWEST and verdict.p_value < 0.05
    named = [part for one in workloads for part in ("--workload", one)]
    route = ["glasslipper", "route", "add", "--from", asking.main, "--to", asking.other, *named]
    return Outcome(
        main=asking.main,
        other=asking.other,
        asked=counts.total(),
        better=counts["other"],
        worse=counts["this"],
        undecided=asking.undecided,
        cost_nanousd=asking.cost_nanousd,
        verdict=verdict,
        suffices=suffices,
        command=shlex.join(route) if suffices else "",
    )
