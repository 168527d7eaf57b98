"""The requests of some days, as arrays: one element for each, ordered by time.

Everything is drawn from the seed and the first day of the block, so a block can be made again.
Knows what each request was like; knows neither names nor tables (`tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from glasslipper.testing.year.models import MODELS, named
from glasslipper.testing.year.traces import QUANTILES, Traces
from glasslipper.testing.year.world import (
    AHEAD,
    DAYS,
    FIRST_DAY,
    MONTHS,
    POOL,
    SIDE,
    TAGS,
    TASKS,
    World,
    month_of_week,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.generic]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

    Rows = dict[str, NDArray[np.int64]]

DAY_MS = 86_400_000
EPOCH_DAY = (FIRST_DAY - type(FIRST_DAY)(1970, 1, 1)).days
OK, ERROR, CANCELLED = 0, 1, 2
STOP, LENGTH, TOOLS, NONE = 0, 1, 2, 3
FEEDBACK_SHARE, JUDGED_SHARE = 0.05, 0.01
CHECKED_SHARE = 0.6
"""The share of answers that are rewarded where every text is proofread: the dear workloads."""

MOST_TOKENS = 200_000

_KINDS = ("chat", "code", "long")
_KIND_OF_TASK = np.array(
    [1 if name == "programming" else 2 if name == "science" else 0 for name in TASKS]
)
_GROWS = np.array([1.6 if name == "programming" else 1.0 for name in TASKS])


def rows_by_day(world: World, rows: int) -> Floats:
    """Return how many requests to expect of each workload on each day, those ahead included."""
    days = np.arange(DAYS + AHEAD)
    there = days[None, :] >= world.start_day[:, None]
    expected = world.rate[:, None] * there * world.day_noise[None, :]
    return expected * (rows / expected[:, :DAYS].sum())


def spans(expected: Floats, per_block: int) -> Iterator[tuple[int, int]]:
    """Yield first and last day (exclusive) of blocks of about so many requests."""
    daily = expected[:, :DAYS].sum(axis=0)
    first, held = 0, 0.0
    for day in range(DAYS):
        if held and held + daily[day] > per_block:
            yield first, day
            first, held = day, 0.0
        held += daily[day]
    yield first, DAYS


def drift(world: World, day: Ints | int) -> Floats:
    """Return the probability that a request of the pool goes to the open model."""
    a, b = world.planted.drift_from, world.planted.drift_to
    return a + (b - a) / (1 + np.exp(-(np.asarray(day) - DAYS / 2) / 40.0))


def block(world: World, traces: Traces, expected: Floats, *, first: int, last: int) -> Rows:
    """Return the requests of the days from `first` up to `last`."""
    rng = np.random.default_rng([world.seed, 3, first])
    rows = _who_and_when(world, traces, rng, expected, first, last)
    _which_model(world, rng, rows)
    _how_long(world, traces, rng, rows)
    _how_it_went(world, rng, rows)
    _what_it_cost(world, rows)
    _what_is_known(world, rng, rows)
    return _mishaps(world, rng, rows)


def _who_and_when(
    world: World, traces: Traces, rng: np.random.Generator, expected: Floats, first: int, last: int
) -> Rows:
    counts = rng.poisson(expected[:, first:last])
    days = np.arange(first, last)
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    who, day = cell // len(days), cell % len(days) + first
    beside = _beside(world, first, last)
    who = np.concatenate([who, beside["w"]])
    day = np.concatenate([day, beside["day"]])
    forced = np.concatenate([np.full(len(cell), -1), beside["model"]])
    hours = np.array(traces.hour_of_week).reshape(7, 24)
    hours = np.cumsum(hours / hours.sum(axis=1, keepdims=True), axis=1)
    chance = rng.random(len(who))
    hour = _hour(hours, day, chance)
    ms = hour * 3_600_000 + (rng.random(len(who)) * 3_600_000).astype(np.int64)
    order = np.lexsort((ms, day, who))
    who, day, ms, forced = who[order], day[order], ms[order], forced[order]
    start = np.flatnonzero(np.r_[True, (who[1:] != who[:-1]) | (day[1:] != day[:-1])])
    lengths = np.diff(np.r_[start, len(who)])
    rank = np.arange(len(who)) - np.repeat(start, lengths)
    turn = rank % world.session[who]
    return {
        "w": who,
        "day": day,
        "ms": ms,
        "forced": forced,
        "turn": turn,
        "head": np.arange(len(who)) - turn,
        "session": rank // world.session[who],
    }


def _hour(hours: Floats, day: Ints, chance: Floats) -> Ints:
    """Return an hour of each day, by the cumulated shares of its weekday's hours."""
    flat = (hours + np.arange(7)[:, None]).ravel()
    found = np.searchsorted(flat, chance + day % 7, side="left")
    return np.minimum(found - (day % 7) * 24, 23)


def _beside(world: World, first: int, last: int) -> Rows:
    """Return one request for each month in which a model taken up beside is used."""
    months = month_of_week()
    starts = np.array([7 * int(np.argmax(months == month)) for month in range(MONTHS)])
    lengths = np.array([7 * int((months == month).sum()) for month in range(MONTHS)])
    w, model, month = world.beside
    release = np.array([one.released_week * 7 for one in MODELS])[model]
    begin = np.maximum(starts[month], release)
    room = starts[month] + lengths[month] - begin
    day = begin + (w * 7919 + model * 104_729 + month * 31) % np.maximum(room, 1)
    inside = (day >= first) & (day < last)
    return {"w": w[inside], "model": model[inside], "day": day[inside]}


def _which_model(world: World, rng: np.random.Generator, rows: Rows) -> None:
    """Draw the model of each session and its provider."""
    n, head = len(rows["w"]), rows["head"]
    who, day = rows["w"], rows["day"]
    month = month_of_week()[day // 7]
    channel, pick = rng.random(n)[head], rng.random(n)[head]
    model = world.main_WK[who, day // 7].copy()
    pool = channel < POOL
    is_open = pick < drift(world, day)
    model[pool] = np.where(is_open, named("elastic")[0], named("pool_closed")[0])[pool]
    side = (channel >= POOL) & (channel < POOL + SIDE)
    used, count = _used_beside(world)
    release = np.array([one.released_week * 7 for one in MODELS])
    slot = (pick * np.maximum(count[who, month], 1)).astype(np.int64)
    candidate = used[who, month, slot]
    ready = side & (count[who, month] > 0) & (day >= release[candidate])
    model[ready] = candidate[ready]
    forced = rows.pop("forced")
    model = np.where(forced >= 0, forced, model)
    rows["model"], rows["month"] = model, month
    rows["provider"] = _which_provider(world, rng.random(n)[head], model, month)


def _used_beside(world: World) -> tuple[Ints, Ints]:
    """Return which models each workload uses beside in each month, and how many."""
    used = np.zeros((world.size, MONTHS, 8), np.int64)
    count = np.zeros((world.size, MONTHS), np.int64)
    for w, model, month in world.beside.T:
        used[w, month, count[w, month]] = model
        count[w, month] += 1
    return used, count


def _which_provider(world: World, chance: Floats, model: Ints, month: Ints) -> Ints:
    """Return the index of the provider within its model's providers."""
    providers = np.array([len(one.providers) for one in MODELS])[model]
    chosen = (chance * providers).astype(np.int64)
    elastic = model == named("elastic")[0]
    cumulated = np.cumsum(world.weight_PM, axis=0)
    chosen[elastic] = (chance[elastic, None] > cumulated[:, month[elastic]].T).sum(axis=1)
    return np.minimum(chosen, providers - 1)


def _how_long(world: World, traces: Traces, rng: np.random.Generator, rows: Rows) -> None:
    n, head, who, day = len(rows["w"]), rows["head"], rows["w"], rows["day"]
    kind = _KIND_OF_TASK[world.task[who]]
    grown = world.planted.prompt_growth ** (day / DAYS - 0.5) * _GROWS[world.task[who]]
    first = _drawn(traces.prompt, kind, rng.random(n)[head]) * grown
    answer = _drawn(traces.completion, kind, rng.random(n)) * 3.0 ** (day / DAYS - 0.5)
    turn = rows["turn"]
    prompt = np.clip(first * (1 + 0.35 * turn), 1, MOST_TOKENS).astype(np.int64)
    before = np.clip(first * (1 + 0.35 * (turn - 1)), 0, MOST_TOKENS).astype(np.int64)
    cached = np.where(world.caches[who] & (turn > 0), before * 4 // 5, 0)
    reasons = np.array([one.reasoning for one in MODELS])[rows["model"]]
    thought = np.where(reasons, answer * (1.5 + 2 * rng.random(n)), 0)
    rows["prompt"], rows["cache_read"] = prompt, np.minimum(cached, prompt)
    rows["output"] = np.clip(answer, 1, MOST_TOKENS).astype(np.int64)
    rows["reasoning"] = thought.astype(np.int64)


def _drawn(quantiles: dict[str, list[float]], kind: Ints, chance: Floats) -> Floats:
    """Return a length of each kind, between quantiles in proportion."""
    table = np.array([quantiles[name] for name in _KINDS])
    place = chance * QUANTILES
    low = np.minimum(place.astype(np.int64), QUANTILES - 1)
    return table[kind, low] + (table[kind, low + 1] - table[kind, low]) * (place - low)


def _how_it_went(world: World, rng: np.random.Generator, rows: Rows) -> None:
    n, who, day = len(rows["w"]), rows["w"], rows["day"]
    chance = rng.random(n)
    status = np.where(chance < 0.012, ERROR, np.where(chance < 0.030, CANCELLED, OK))
    rows["status"] = status
    rows["retried"] = ((rng.random(n) < 0.03) & (status == OK)).astype(np.int64)
    offered = world.offers_tools[who]
    rows["tools_offered"] = np.where(offered, 3 + world.task[who] % 5, 0)
    rises = 0.05 + (world.planted.tool_share_to - 0.05) * day / DAYS
    calls = offered & (rng.random(n) < rises / 0.6) & (status == OK)
    rows["tools_called"] = np.where(calls, 1 + (rng.random(n) < 0.3), 0)
    finish = np.where(calls, TOOLS, np.where(rng.random(n) < 0.03, LENGTH, STOP))
    rows["finish"] = np.where(status == ERROR, NONE, finish)
    for name in ("output", "reasoning", "cache_read"):
        rows[name] = np.where(status == ERROR, 0, rows[name])
    rows["prompt"] = np.where(status == ERROR, 0, rows["prompt"])
    slowness = 220 + 60 * rows["provider"] + 15 * rows["model"]
    rows["first_token_ms"] = (slowness * rng.lognormal(0, 0.5, n) + rows["prompt"] / 40).astype(
        np.int64
    )
    spent = (rows["output"] + rows["reasoning"]) * (8 + rows["model"] % 5 * 3)
    rows["duration_ms"] = rows["first_token_ms"] + spent


def prices(world: World) -> tuple[Ints, Ints, Ints]:
    """Return prices of input, cached input and output by model, provider, month.

    In nano-USD per million tokens.
    """
    most = max(len(model.providers) for model in MODELS)
    table = np.zeros((3, len(MODELS), most, MONTHS), np.int64)
    for index, model in enumerate(MODELS):
        usd = np.array([model.usd_in, model.usd_in * 0.1, model.usd_out])
        table[:, index] = np.round(usd * 1e6)[:, None, None].astype(np.int64) * 1_000
    elastic = named("elastic")[0]
    factor = np.exp(world.offer_PM)
    table[:, elastic, : len(factor)] = (
        np.round(table[:, elastic, : len(factor)] * factor / 1_000).astype(np.int64) * 1_000
    )
    return table[0], table[1], table[2]


PRICE_ERROR_DAYS = (120, 160)
PRICE_ERROR_MODEL = 0
CLOCK_KEY = 3
CLOCK_DAYS = (200, 207)
DUPLICATE_DAYS = (240, 270)


def _what_it_cost(world: World, rows: Rows) -> None:
    price_in, price_cached, price_out = prices(world)
    place = (rows["model"], rows["provider"], rows["month"])
    fresh = rows["prompt"] - rows["cache_read"]
    came_out = rows["output"] + rows["reasoning"]
    total = (
        fresh * price_in[place]
        + rows["cache_read"] * price_cached[place]
        + came_out * price_out[place]
    )
    rows["due"] = -(-total // 1_000_000)
    wrong = (rows["model"] == PRICE_ERROR_MODEL) & _between(rows["day"], PRICE_ERROR_DAYS)
    factor = 1 + world.planted.price_error
    rows["billed"] = np.where(wrong, (rows["due"] * factor).astype(np.int64), rows["due"])
    rows["wasted"] = np.where(
        rows["retried"] & (rows["w"] % 3 == 0), rows["prompt"] * price_in[place] // 1_000_000, 0
    )


def _between(day: Ints, span: tuple[int, int]) -> NDArray[np.bool_]:
    return (day >= span[0]) & (day < span[1])


SUFFICES = 0.90
"""How likely any model's answer is accepted in the dear workloads, where a cheap one suffices."""

FALLS_SHORT = (0.93, 0.72)
"""The same of the dear model and of any other, where none does."""


def quality(world: World, model: Ints | int, who: Ints | int) -> Floats:
    """Return how likely an answer of a model to a workload is accepted."""
    base = np.array([one.quality for one in MODELS])[model]
    dear = world.dear[who]
    if world.planted.cheap_suffices:
        return np.where(dear, SUFFICES, base)
    own, others = FALLS_SHORT
    return np.where(dear, np.where(np.asarray(model) == 0, own, others), base)


def _what_is_known(world: World, rng: np.random.Generator, rows: Rows) -> None:
    n, who = len(rows["w"]), rows["w"]
    task = world.task[who]
    chance = rng.random(n)
    other = rng.integers(0, len(TASKS), n)
    label = np.where(chance < world.planted.label_accuracy, task, other)
    rows["task"] = np.where(chance > 0.95, -1, label)
    tags = np.array([len(TAGS[name]) for name in TASKS])
    rows["tag"] = (rng.random(n) * tags[np.maximum(rows["task"], 0)]).astype(np.int64)
    rows["user"] = (rng.random(n) * world.users[who]).astype(np.int64)
    good = (rng.random(n) < quality(world, rows["model"], who)).astype(np.int64)
    share = np.where(world.dear[who], CHECKED_SHARE, FEEDBACK_SHARE)
    given = (rng.random(n) < share) & (rows["status"] == OK)
    rows["reward"] = np.where(given, good, -1)
    rows["reply_ms"] = (rng.exponential(300_000, n) + 1_000).astype(np.int64)
    rows["judged"] = (rng.random(n) < JUDGED_SHARE).astype(np.int64)
    rows["tail"] = rng.integers(0, 1 << 40, n)


def _mishaps(world: World, rng: np.random.Generator, rows: Rows) -> Rows:
    """Deliver some rows twice, set one key's clock wrong, and put all in the order of time."""
    n = len(rows["w"])
    del rows["head"]
    rows["true_ms"] = (EPOCH_DAY + rows["day"]) * DAY_MS + rows.pop("ms")
    rows["number"] = np.arange(n)
    twice = np.flatnonzero(
        _between(rows["day"], DUPLICATE_DAYS) & (rng.random(n) < world.planted.duplicates)
    )
    skewed = (world.key[rows["w"]] == CLOCK_KEY) & _between(rows["day"], CLOCK_DAYS)
    rows["created_ms"] = rows["true_ms"] + skewed * world.planted.clock_skew_ms
    which = np.concatenate([rows["number"], twice])
    order = np.argsort(rows["created_ms"][which], kind="stable")
    which, is_copy = which[order], order >= n
    rows = {name: np.take(column, which) for name, column in rows.items()}
    rows["copy"] = is_copy.astype(np.int64)
    rows["reward"][is_copy], rows["judged"][is_copy] = -1, 0
    return rows
