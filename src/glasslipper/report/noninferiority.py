"""Does a cheaper model fall behind by less than a margin? Score tests, and their intervals.

Two kinds of evidence. *Rewards*: answers of both models, each accepted or not, in the same
workloads; differences are taken within workloads and weighted by Mantel and Haenszel, so that a
model is not praised for having been given the easy ones. *Pairs*: both models answered the same
prompt, and the cheaper one's answer was better, worse, or neither.

Sources: Farrington & Manning 1990 (score test of a difference of shares, variance under the
hypothesis); Mantel & Haenszel 1959 (weights); Tango 1998 (score test and interval of a paired
difference). Intervals hold what the two-sided test at 5 % does not reject.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from glasslipper.report.estimates import Estimate, Z, normal_tail

_STEPS = 50
"""Of each bisection: more than the precision of a float asks for within (-1, 1)."""

_TINY = 1e-12


class Stratum(Struct, frozen=True, kw_only=True):
    """One workload: answers rewarded, and those of them accepted, of both models."""

    cheap: int
    cheap_good: int
    dear: int
    dear_good: int


class Verdict(Struct, frozen=True, kw_only=True):
    """How the cheaper model does beside the dear one.

    `behind` is the difference of acceptance, cheaper minus dear; `p_value` is of the hypothesis
    that it falls behind by the margin or more. `cheap` and `dear` are shares of answers accepted
    with equal weights of workloads; of pairs, shares of prompts on which each was not the worse.
    """

    cheap: float
    dear: float
    behind: Estimate
    p_value: float
    n_cheap: int
    n_dear: int


def of_rewards(strata: Sequence[Stratum], margin: float) -> Verdict | None:
    """Compare two models by rewards; `None` where no workload has rewards of both."""
    both = [one for one in strata if one.cheap and one.dear]
    weights = [one.cheap * one.dear / (one.cheap + one.dear) for one in both]
    total = sum(weights)
    if not total:
        return None
    pairs = list(zip(weights, both, strict=True))
    cheap = sum(w * one.cheap_good / one.cheap for w, one in pairs) / total
    dear = sum(w * one.dear_good / one.dear for w, one in pairs) / total
    # as many answers as would give the same variance if all stood in one workload
    n_cheap = total**2 / sum(w**2 / one.cheap for w, one in pairs)
    n_dear = total**2 / sum(w**2 / one.dear for w, one in pairs)

    def z(difference: float) -> float:
        return _score(cheap, n_cheap, dear, n_dear, difference)

    return Verdict(
        cheap=cheap,
        dear=dear,
        behind=_interval(cheap - dear, z, n=sum(one.cheap + one.dear for one in both)),
        p_value=normal_tail(z(-margin)),
        n_cheap=sum(one.cheap for one in both),
        n_dear=sum(one.dear for one in both),
    )


def of_pairs(better: int, worse: int, n: int, margin: float) -> Verdict | None:
    """Compare two models by `n` prompts, on so many of which the cheaper one did better, worse."""
    if not n:
        return None

    def z(difference: float) -> float:
        return _paired_score(better, worse, n, difference)

    return Verdict(
        cheap=1 - worse / n,
        dear=1 - better / n,
        behind=_interval((better - worse) / n, z, n=n),
        p_value=normal_tail(z(-margin)),
        n_cheap=n,
        n_dear=n,
    )


def _score(one: float, n_one: float, other: float, n_other: float, difference: float) -> float:
    """Return the score statistic of shares that are said to differ by so much."""
    likely = _restricted(one, n_one, other, n_other, difference)
    first = likely + difference
    variance = first * (1 - first) / n_one + likely * (1 - likely) / n_other
    return (one - other - difference) / math.sqrt(max(variance, 1e-12))


def _restricted(one: float, n_one: float, other: float, n_other: float, difference: float) -> float:
    """Return the likeliest other share, given that the first is larger by `difference`."""
    low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
    one_not, other_not = 1 - one, 1 - other
    for _ in range(_STEPS):  # as `_root` does, but a page takes some hundred thousand of them
        share = (low + high) / 2
        first = share + difference
        first_not, share_not = 1 - first, 1 - share
        slope = n_one * (
            one / (first if first > _TINY else _TINY)
            - one_not / (first_not if first_not > _TINY else _TINY)
        ) + n_other * (
            other / (share if share > _TINY else _TINY)
            - other_not / (share_not if share_not > _TINY else _TINY)
        )
        if slope > 0:
            low = share
        else:
            high = share
    return (low + high) / 2


def _paired_score(better: int, worse: int, n: int, difference: float) -> float:
    """Return the score statistic of a paired difference (Tango 1998, equation 16)."""
    a = 2.0 * n
    b = -better - worse + (2.0 * n - better + worse) * difference
    c = -worse * difference * (1 - difference)
    loses = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * loses + difference * (1 - difference))
    return (better - worse - n * difference) / math.sqrt(max(variance, 1e-12))


def _interval(value: float, z: Callable[[float], float], *, n: int) -> Estimate:
    """Return the differences that are not rejected; the statistic falls as they grow."""
    edge = 1.0 - 1e-9
    low = _root(lambda difference: z(difference) - Z, -edge, value)
    high = _root(lambda difference: z(difference) + Z, value, edge)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function passes zero, or the nearer end if it does not."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
