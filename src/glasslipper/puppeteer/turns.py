"""The words of an episode: puppets, their turns, and what there is to see before the next one.

A *puppet* is a model and the pattern by which it thinks; without a pattern it is asked just as
the client asked. A *view* is all that a policy decides by. Nothing here calls anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from glasslipper.kernel.messages import Request
from glasslipper.kernel.usage import Usage

PLAIN = "plain"
"""The pattern of a puppet that is asked as the client asked."""


class Puppet(Struct, frozen=True, kw_only=True, order=True):
    """A model and a pattern."""

    model: str
    pattern: str = PLAIN

    @property
    def name(self) -> str:
        """How it is written: `local/smol#reason`, or the model alone."""
        return self.model if self.pattern == PLAIN else f"{self.model}#{self.pattern}"

    @classmethod
    def of(cls, name: str) -> Puppet:
        """Return the puppet of a name."""
        model, _, pattern = name.partition("#")
        return cls(model=model, pattern=pattern or PLAIN)


class Turn(Struct, frozen=True, kw_only=True):
    """What a puppet did.

    `answer` is what it answers to the task, empty where it has none to give; `meaning` is equal
    for answers that say the same. `checked` tells whether a check that needs no right answer was
    passed: the program ran, the JSON is JSON, the public example holds. `logprob` is the mean of
    its tokens', where they are known.
    """

    puppet: Puppet
    said: str
    answer: str = ""
    meaning: str = ""
    finish: str = "stop"
    checked: bool | None = None
    logprob: float | None = None
    usage: Usage = field(default_factory=Usage)
    cost_nanousd: int = 0


class Bid(Struct, frozen=True, kw_only=True):
    """What a puppet is expected to cost next, the loss of cached prompts included."""

    puppet: Puppet
    expected_nanousd: int


class View(Struct, frozen=True, kw_only=True):
    """All that is known before the next step.

    `bids` are the puppets that may act, the cheapest first. `dial` goes from 0 (as cheap as can
    be) to 10 (as good as can be). `left_nanousd` is `None` without a bound. `warm` is the model
    that has answered this session before. `luck`, from 0 up to 1, was drawn for this episode: who
    chooses by chance chooses by it.
    """

    request: Request
    task: str
    form: str
    turns: Sequence[Turn]
    bids: Sequence[Bid]
    dial: float
    calls_left: int
    left_nanousd: int | None = None
    warm: str | None = None
    luck: float = 0.5

    @property
    def leading(self) -> Turn | None:
        """The answer that most agree on; of equals the one that passed a check, or is last."""
        return leading(self.turns)


def leading(turns: Sequence[Turn]) -> Turn | None:
    """Return the turn whose answer leads."""
    answers = [turn for turn in turns if turn.answer]
    if not answers:
        return None
    votes: dict[str, float] = {}
    for turn in answers:
        votes[turn.meaning] = votes.get(turn.meaning, 0.0) + weight(turn)
    order = {id(turn): place for place, turn in enumerate(answers)}
    return max(answers, key=lambda turn: (votes[turn.meaning], weight(turn), order[id(turn)]))


def weight(turn: Turn) -> float:
    """Return how much an answer's vote counts: what failed its check or was cut counts little."""
    if turn.checked is False:
        return 0.25
    whole = 1.0 if turn.finish in ("stop", "tool_calls") else 0.5
    return whole + (0.5 if turn.checked else 0.0)


class Decision(Struct, frozen=True, kw_only=True):
    """The next step: a puppet, or none to stop; how likely it was to be chosen, and why.

    `is_last` says that whatever it answers will be the answer, so that it may stream. `chances`
    are, where chance chose, the probabilities of all that might have been chosen, by name. `lead`
    is whose answer to give when it stops, where that is not simply the one that leads.
    """

    puppet: Puppet | None
    why: str
    probability: float = 1.0
    confidence: float | None = None
    is_last: bool = False
    chances: Mapping[str, float] = field(default_factory=dict[str, float])
    lead: Puppet | None = None


def drawn(chances: Mapping[str, float], luck: float) -> str:
    """Return the name that chance falls on."""
    names = list(chances)
    for name in names:
        luck -= chances[name]
        if luck < 0:
            return name
    return next(name for name in reversed(names) if chances[name] > 0)
