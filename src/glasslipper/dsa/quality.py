"""What sparse attention costs in quality, measured against the dense model on the same tokens.

Perplexity by position and greedy agreement come from whole sequences of real text; needles are
named pass keys hidden in real text and asked for at its end. Every figure is of the dense model
and of the sparse one, in the same run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from glasslipper.dsa.errors import NotANumber, TextTooShort
from glasslipper.dsa.host import Host, Look
from glasslipper.dsa.memo import Memo

Progress = Callable[[int, int], None]
_HEAD_ROWS = 256

NAMES = ("Anna", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas")
DIGITS = 5


@dataclass(slots=True)
class Likelihood:
    """Sums over tokens of one look, by bucket of positions."""

    nll: dict[int, float] = field(default_factory=dict[int, float])
    tokens: dict[int, int] = field(default_factory=dict[int, int])
    same: int = 0
    compared: int = 0

    def mean(self, first: int = 0) -> float:
        """Return the mean negative log-likelihood of the positions from `first` on."""
        some = [bucket for bucket in self.nll if bucket >= first]
        return sum(self.nll[b] for b in some) / max(1, sum(self.tokens[b] for b in some))


def likelihoods(
    host: Host,
    sequences: Sequence[Tensor],
    looks: Mapping[str, Look],
    *,
    bucket: int,
    name: str = "",
    memo: Memo | None = None,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, Likelihood]:
    """Return how likely each look finds the text, by buckets of `bucket` positions.

    The first look is the one that the others are compared with, token by token.
    """
    found = {way: Likelihood() for way in looks}
    known = memo or Memo()
    for number, tokens_S in enumerate(sequences):
        greedy: Tensor | None = None
        for place, (way, look) in enumerate(looks.items()):
            nll, best = known(
                f"likelihood {name} {number} {way}",
                lambda tokens_S=tokens_S, look=look: _run(host, tokens_S, look),
            )
            nll_T = torch.tensor(nll, dtype=torch.float64, device="cpu")
            best_T = torch.tensor(best, device="cpu")
            into = found[way]
            for start in range(0, len(nll_T), bucket):
                part = nll_T[start : start + bucket]
                into.nll[start] = into.nll.get(start, 0.0) + float(part.sum())
                into.tokens[start] = into.tokens.get(start, 0) + len(part)
            greedy = best_T if greedy is None else greedy
            later = len(best_T) // 2
            into.same += int((best_T[later:] == greedy[later:]).sum())
            into.compared += len(best_T) - later
            on_progress(number * len(looks) + place + 1, len(sequences) * len(looks))
    return found


def ratio(sparse: Likelihood, dense: Likelihood, first: int = 0) -> float:
    """Return the sparse perplexity over the dense one, for the positions from `first` on."""
    return math.exp(sparse.mean(first) - dense.mean(first))


@torch.inference_mode()
def _run(host: Host, tokens_S: Tensor, look: Look) -> tuple[list[float], list[int]]:
    """Return each next token's negative log-likelihood and the likeliest token, S - 1 of each."""
    with host.looking(look):
        hidden = host.hidden(tokens_S, use_cache=False).last_hidden_state[0, :-1]
    nll, best = [], []
    for rows in hidden.split(_HEAD_ROWS):
        logits = host.logits(rows)
        at = sum(map(len, best))
        wanted = tokens_S[at + 1 : at + 1 + len(rows)].to(logits.device)
        nll.append(functional.cross_entropy(logits, wanted, reduction="none").cpu())
        best.append(logits.argmax(-1).cpu())
    joined = torch.cat(nll)
    if not bool(joined.isfinite().all()):
        raise NotANumber("The model's likelihoods are not numbers.", hint="Try --dtype float32.")
    return joined.tolist(), torch.cat(best).tolist()


@dataclass(frozen=True, slots=True)
class Haystack:
    """A text with pass keys in it, questions at its end, and where the answers lie."""

    tokens_S: Tensor
    answers: tuple[tuple[int, slice], ...]
    """For each needle: its depth in per cent, and the tokens that must be said."""


def haystacks(
    tokenizer: Any,  # transformers types its tokenizers loosely
    hay: Sequence[Tensor],
    *,
    length: int,
    count: int,
    depths: Sequence[int] = (5, 25, 50, 75, 95),
    seed: int = 0,
) -> list[Haystack]:
    """Return texts of `length` tokens, each with a needle at every depth.

    All needles are asked for at the end, in an order of their own, with the right answers to the
    earlier questions in sight.

    Raises:
        TextTooShort: There is no hay.
    """
    if not hay:
        raise TextTooShort("There is no text to hide needles in.")
    draw = random.Random(seed)  # noqa: S311 - a draw that can be repeated, not a secret
    return [_haystack(tokenizer, hay[n % len(hay)], length, depths, draw) for n in range(count)]


def _haystack(
    tokenizer: Any, hay_S: Tensor, length: int, depths: Sequence[int], draw: random.Random
) -> Haystack:
    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    names = draw.sample(NAMES, len(depths))
    codes = ["".join(draw.choices("0123456789", k=DIGITS)) for _ in depths]
    needles = [
        ids(f"\nThe pass key of {name} is {code}. Remember it: {code} is the pass key of {name}.\n")
        for name, code in zip(names, codes, strict=True)
    ]
    order = draw.sample(range(len(depths)), len(depths))
    asked: list[int] = ids("\n\nHere are the pass keys mentioned above.\n")
    places: dict[int, tuple[int, int]] = {}
    lead = ids(" ")
    for n in order:
        asked += ids(f"The pass key of {names[n]} is")
        whole = ids(f" {codes[n]}")
        # Tokenizers differ: the space stands alone or not, digits come one by one or in groups.
        given = len(lead) if whole[: len(lead)] == lead else 0
        places[n] = len(asked) + given, len(asked) + len(whole)
        asked += whole + ids(".\n")
    room = length - sum(map(len, needles)) - len(asked)
    hay = hay_S[:room].tolist()
    for n in sorted(range(len(depths)), key=lambda n: -depths[n]):
        at = len(hay[: room * depths[n] // 100])
        hay[at:at] = needles[n]
    tokens = torch.tensor(hay + asked, device="cpu")
    begin = len(hay)
    answers = ((depths[n], slice(begin + places[n][0], begin + places[n][1])) for n in places)
    return Haystack(tokens, tuple(sorted(answers, key=lambda answer: answer[0])))


@torch.inference_mode()
def needles(host: Host, stack: Haystack, look: Look) -> dict[str, bool]:
    """Return by depth whether all of the needle there is, token by token, the likeliest next."""
    found: dict[str, bool] = {}
    with host.looking(look):
        hidden = host.hidden(stack.tokens_S, use_cache=False).last_hidden_state[0]
    for depth, at in stack.answers:
        best = host.logits(hidden[at.start - 1 : at.stop - 1]).argmax(-1).cpu()
        found[str(depth)] = bool((best == stack.tokens_S[at]).all())
    return found
