"""Adds up the requests of a generated year, for the truth that a study's sums must equal.

Independent of the ledger and of its SQL: it works on the arrays that the rows are made of. Rows
count as they were delivered: twice where they were, and on the day that their clock said.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import numpy as np

from glasslipper.testing.year import rows as requests
from glasslipper.testing.year.models import MODELS, named
from glasslipper.testing.year.world import (
    COUNTRIES,
    DAYS,
    FIRST_DAY,
    LANGUAGES,
    TAG_NAMES,
    TAGS,
    TASKS,
    WEEKS,
    World,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

CHEAP = named("pool_closed")[0]
MOST_MS = 30_000
PROVIDERS = sorted({name for model in MODELS for name in model.providers})
PROVIDER_OF = np.array(
    [[PROVIDERS.index(m.providers[min(i, len(m.providers) - 1)]) for i in range(8)] for m in MODELS]
)
CALENDAR = np.array(
    [
        (d.year - FIRST_DAY.year) * 12 + d.month - FIRST_DAY.month
        for d in (FIRST_DAY + timedelta(days=day) for day in range(WEEKS * 7))
    ]
)
MONTHS = int(CALENDAR[-2]) + 1
"""Months that are whole, or nearly so: the year's last day begins another."""

_EDGE = 4
"""Weeks that the first and last values of a series are means of."""

REGIONS = {
    "US": "North America",
    "DE": "Europe",
    "GB": "Europe",
    "SG": "Asia",
    "IN": "Asia",
    "JP": "Asia",
    "BR": "South America",
    "FR": "Europe",
    "AU": "Oceania",
    "ZA": "Africa",
}


COUNTS = (
    "rows",
    "failed",
    "duplicates",
    "early",
    "wasted",
    "excess",
    "excess_once",
    "repeated",
    "cached",
    "sessions",
    "session_calls",
    "weekend",
)


class Sums:
    """Cubes over week, model and label, and a few counts.

    `daily` is what is billed each day; `due` is what the provider of the wrongly priced model
    asks for, by day and model: the right amounts.
    """

    def __init__(self, world: World) -> None:
        """Start from nothing."""
        self.world = world
        shape = (WEEKS, len(MODELS), len(TASKS) + 1)
        self.requests, self.prompt, self.completion, self.cost = (np.zeros(shape) for _ in range(4))
        self.tools, self.offered, self.thought = (np.zeros(shape) for _ in range(3))
        self.country = np.zeros((WEEKS, len(COUNTRIES), 2))
        self.language = np.zeros(len(LANGUAGES))
        self.tag = np.zeros((len(TASKS), len(TAG_NAMES)))
        self.homes = np.zeros((world.size, len(MODELS)), bool)
        self.rewards = np.zeros((2, len(MODELS), len(TASKS)))
        self.units = np.zeros((3, len(MODELS)))
        self.priced = np.zeros((2, MONTHS + 1, len(MODELS), 8))
        self.first_token = np.zeros((len(PROVIDERS), MOST_MS))
        self.dear = np.zeros(3)
        self.truly = np.zeros(len(TASKS))
        self.about = np.zeros((len(MODELS), len(TASKS)))
        self.daily = np.zeros(DAYS)
        self.due = np.zeros((DAYS, len(MODELS)))
        self.counts = dict.fromkeys(COUNTS, 0.0)

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return int(self.counts["rows"])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return all that was added up, by name, for another one to merge."""
        found: dict[str, NDArray[np.generic]] = {"counts": np.array([*self.counts.values()])}
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                found[name] = cast("NDArray[np.generic]", value)
        return found

    def merge(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Add what another one added up."""
        for name, value in arrays.items():
            if name == "counts":
                for one, more in zip(COUNTS, value, strict=True):
                    self.counts[one] += float(more)
            else:
                mine = getattr(self, name)
                np.logical_or(mine, value, mine) if mine.dtype == bool else np.add(
                    mine, value, mine
                )

    def add(self, rows: requests.Rows) -> None:
        """Add the requests of a block."""
        world = self.world
        day = rows["created_ms"] // requests.DAY_MS - requests.EPOCH_DAY
        task = np.where(rows["task"] < 0, len(TASKS), rows["task"])
        place = (np.minimum(day // 7, WEEKS - 1), rows["model"], task)
        flat = np.ravel_multi_index(place, self.requests.shape)
        tokens = rows["prompt"] + rows["output"] + rows["reasoning"]
        billed = rows["billed"] + rows["wasted"]
        self._into(self.requests, flat, np.ones(len(flat)))
        self._into(self.prompt, flat, rows["prompt"])
        self._into(self.completion, flat, rows["output"] + rows["reasoning"])
        self._into(self.cost, flat, billed)
        self._into(self.thought, flat, rows["reasoning"])
        self._into(self.tools, flat, np.where(rows["finish"] == requests.TOOLS, tokens, 0))
        self._into(self.offered, flat, np.where(rows["tools_offered"] > 0, tokens, 0))
        country = np.ravel_multi_index((place[0], world.country[rows["w"]]), self.country.shape[:2])
        for index, value in enumerate((tokens, billed)):
            sums = np.bincount(country, value, minlength=self.country[..., 0].size)
            self.country[..., index] += sums.reshape(self.country.shape[:2])
        labelled = world.language[rows["w"]]
        self.language += np.bincount(labelled, tokens, minlength=len(LANGUAGES))
        self._add_tags(rows, tokens)
        self._add_units(rows, tokens, billed, day)
        self._add_outcomes(rows)
        self._add_counts(rows, day)
        self._add_bill(rows, np.minimum(day, DAYS - 1))

    def _into(self, cube: Floats, flat: Ints, values: NDArray[np.generic]) -> None:
        cube += np.bincount(flat, values, minlength=cube.size).reshape(cube.shape)

    def _add_tags(self, rows: requests.Rows, tokens: Ints) -> None:
        known = rows["task"] >= 0
        table = np.array(
            [
                [TAG_NAMES.index(TAGS[name][min(i, len(TAGS[name]) - 1)]) for i in range(8)]
                for name in TASKS
            ]
        )
        task = rows["task"][known]
        tag = table[task, rows["tag"][known]]
        flat = task * len(TAG_NAMES) + tag
        self.tag += np.bincount(flat, tokens[known], minlength=self.tag.size).reshape(
            self.tag.shape
        )

    def _add_units(self, rows: requests.Rows, tokens: Ints, billed: Ints, day: Ints) -> None:
        """Add what each workload uses, what each model is sent, and how fast providers are."""
        model, provider = rows["model"], rows["provider"]
        self.homes[rows["w"], model] = True
        about = self.world.task[rows["w"]]
        self.truly += np.bincount(about, minlength=len(TASKS))
        self._into(self.about, np.ravel_multi_index((model, about), self.about.shape), tokens)
        fresh = rows["prompt"] - rows["cache_read"]
        came_out = rows["output"] + rows["reasoning"]
        for index, value in enumerate((fresh, rows["cache_read"], came_out)):
            self.units[index] += np.bincount(model, value, minlength=len(MODELS))
        month = CALENDAR[np.minimum(day, len(CALENDAR) - 1)]
        flat = np.ravel_multi_index((month, model, provider), self.priced.shape[1:])
        for index, value in enumerate((tokens, billed)):
            sums = np.bincount(flat, value, minlength=self.priced[0].size)
            self.priced[index] += sums.reshape(self.priced.shape[1:])
        well = rows["status"] == requests.OK
        name = PROVIDER_OF[model, provider][well]
        ms = np.minimum(rows["first_token_ms"][well], MOST_MS - 1)
        flat = name * MOST_MS + ms
        sums = np.bincount(flat, minlength=self.first_token.size)
        self.first_token += sums.reshape(self.first_token.shape)
        mine = self.world.dear[rows["w"]] & (model == 0)
        self.dear += [billed[mine].sum(), rows["prompt"][mine].sum(), came_out[mine].sum()]

    def _add_outcomes(self, rows: requests.Rows) -> None:
        """Add how many answers were judged and how many of them should have been accepted."""
        judged = (rows["reward"] >= 0) & (rows["task"] >= 0)
        model, task = rows["model"][judged], rows["task"][judged]
        good = requests.quality(self.world, model, rows["w"][judged])
        flat = model * len(TASKS) + task
        shape = self.rewards.shape[1:]
        self.rewards[0] += np.bincount(flat, minlength=self.rewards[0].size).reshape(shape)
        self.rewards[1] += np.bincount(flat, good, minlength=self.rewards[0].size).reshape(shape)

    def _add_bill(self, rows: requests.Rows, day: Ints) -> None:
        """Add what is billed, and what the provider of the wrongly priced model asks for."""
        self.daily += np.bincount(day, rows["billed"] + rows["wasted"], minlength=DAYS)
        mine = self._of(MODELS[requests.PRICE_ERROR_MODEL].author)[rows["model"]]
        flat = np.ravel_multi_index((day[mine], rows["model"][mine]), self.due.shape)
        self._into(self.due, flat, (rows["due"] + rows["wasted"])[mine])

    def _add_counts(self, rows: requests.Rows, day: Ints) -> None:
        counts = self.counts
        failed = rows["status"] == requests.ERROR
        counts["rows"] += len(day)
        counts["failed"] += float(failed.sum() + rows["retried"].sum())
        counts["wasted"] += float(rows["wasted"].sum())
        excess = (rows["billed"] - rows["due"]).astype(np.float64)
        counts["excess"] += float(excess.sum())
        counts["excess_once"] += float(excess[rows["retried"] == 0].sum())
        counts["duplicates"] += float(rows["copy"].sum())
        ends = rows["created_ms"] + rows["duration_ms"]
        noted = rows["true_ms"] + rows["duration_ms"] + rows["reply_ms"]
        counts["early"] += float(((rows["reward"] >= 0) & (noted < ends)).sum())
        counts["weekend"] += float((day % 7 >= 5).sum())
        counts["cached"] += float(rows["cache_read"].sum())
        self._add_sessions(rows, ~failed)

    def _add_sessions(self, rows: requests.Rows, kept: NDArray[np.bool_]) -> None:
        """Add sessions by model: all but the longest prompt of each came again."""
        w, day, number, model, prompt = (
            rows[name][kept] for name in ("w", "day", "session", "model", "prompt")
        )
        key = ((w * 1_000 + day) * 4_096 + np.minimum(number, 4_095)) * 32 + model
        order = np.argsort(key, kind="stable")
        key, prompt = key[order], prompt[order]
        starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
        longest = np.maximum.reduceat(prompt, starts) if len(starts) else np.zeros(0)
        self.counts["repeated"] += float(prompt.sum() - longest.sum())
        self.counts["sessions"] += len(starts)
        self.counts["session_calls"] += len(key)

    def numbers(self) -> dict[str, dict[str, float]]:
        """Return what each section that only adds up should find."""
        tokens = self.prompt + self.completion
        known = tokens[..., : len(TASKS)]
        by_model = tokens.sum(axis=(0, 2))
        by_week = tokens.sum(axis=(1, 2))
        is_open = np.array([model.open_weights for model in MODELS])
        china = is_open & np.array([model.country == "CN" for model in MODELS])
        reasons = np.array([model.reasoning for model in MODELS])
        task = {name: index for index, name in enumerate(TASKS)}
        programming = known[..., task["programming"]]
        totals = by_model.sum()
        found: dict[str, dict[str, float]] = {
            "open-share": self._ends(tokens.sum(axis=2), is_open, "open_share"),
            "weekly-tokens": {
                "tokens": totals,
                "first_weeks": by_week[:_EDGE].mean(),
                "last_weeks": by_week[-_EDGE:].mean(),
            },
            "china-share": {"share": by_model[china].sum() / totals},
            "open-authors": {
                f"tokens/{author}": by_model[is_open & self._of(author)].sum()
                for author in sorted({m.author for m in MODELS if m.open_weights})
            },
            "open-models": {"largest_share": by_model[is_open].max() / by_model[is_open].sum()},
            "size-classes": self._sizes(by_model, is_open),
            "models-per-size": {"last": float(((tokens[-1].sum(axis=1) > 0) & is_open).sum())},
            "open-tasks": self._mix(known[:, is_open], ["roleplay", "programming"]),
            "china-tasks": self._mix(known[:, china], ["roleplay", "programming"]),
            "programming-sources": {
                "share/Closed": programming[:, ~is_open].sum() / programming.sum()
            },
            "roleplay-sources": {
                "share/Closed": known[..., 1][:, ~is_open].sum() / known[..., 1].sum()
            },
            "programming-share": {"share": programming.sum() / known.sum()},
            "programming-authors": {
                "share/kestrel": programming[:, self._of("kestrel")].sum() / programming.sum()
            },
            "author-tasks": {
                "share/kestrel/programming": programming[:, self._of("kestrel")].sum()
                / known[:, self._of("kestrel")].sum()
            },
            "reasoning-share": self._ends(tokens.sum(axis=2), reasons, "share"),
            "reasoning-models": {
                f"share/{MODELS[i].id}": by_model[i] / by_model[reasons].sum()
                for i in np.flatnonzero(reasons)
            },
            "tool-calls": {"share": self.tools.sum() / totals},
            "tools-offered": {
                f"share/{MODELS[0].id}": self.offered[:, 0].sum() / self.offered.sum()
            },
            "prompt-length": self._means(self.prompt),
            "completion-length": self._means(self.completion),
            "sequence-length": self._means(tokens),
            "prompt-by-task": {
                "mean/programming": self.prompt[..., 0].sum() / self.requests[..., 0].sum()
            },
            "sequence-programming": {
                "programming": programming.sum() / self.requests[..., 0].sum()
            },
            "spend-regions": self._regions(1),
            "continents": self._regions(0),
            "countries": {
                f"share/{name}": self.country[:, i, 0].sum() / totals
                for i, name in enumerate(COUNTRIES)
            },
            "languages": {
                f"share/{name}": self.language[i] / totals for i, name in enumerate(LANGUAGES)
            },
            "thinking": {"share": self._thinking(reasons)},
        }
        return found | self._tag_shares() | self._money(by_model, totals) | self._counted()

    def _of(self, author: str) -> NDArray[np.bool_]:
        return np.array([model.author == author for model in MODELS])

    def _ends(self, weekly: Floats, chosen: NDArray[np.bool_], name: str) -> dict[str, float]:
        mine = weekly[:, chosen].sum(axis=1)
        every = weekly.sum(axis=1)
        return {
            name: mine.sum() / every.sum(),
            "first_weeks": mine[:_EDGE].sum() / every[:_EDGE].sum(),
            "last_weeks": mine[-_EDGE:].sum() / every[-_EDGE:].sum(),
        }

    def _means(self, cube: Floats) -> dict[str, float]:
        weekly = cube.sum(axis=(1, 2)) / self.requests.sum(axis=(1, 2))
        return {
            "mean": cube.sum() / self.requests.sum(),
            "first_weeks": weekly[:_EDGE].mean(),
            "last_weeks": weekly[-_EDGE:].mean(),
        }

    def _mix(self, cube: Floats, names: list[str]) -> dict[str, float]:
        by_task = cube.sum(axis=(0, 1))
        largest = set(np.argsort(-by_task)[:7])
        indices = {name: TASKS.index(name) for name in names}
        return {
            f"share/{n}": by_task[i] / by_task.sum() for n, i in indices.items() if i in largest
        }

    def _sizes(self, by_model: Floats, is_open: NDArray[np.bool_]) -> dict[str, float]:
        sizes = np.array([model.parameters_b or 0 for model in MODELS])
        large = is_open & (sizes >= 70)
        return {"share/Large, ≥ 70B": by_model[large].sum() / by_model[is_open].sum()}

    def _regions(self, index: int) -> dict[str, float]:
        sums: dict[str, float] = {}
        for place, name in enumerate(COUNTRIES):
            region = REGIONS[name]
            sums[region] = sums.get(region, 0.0) + self.country[:, place, index].sum()
        total = sum(sums.values())
        return {f"share/{region}": value / total for region, value in sums.items()}

    def _thinking(self, reasons: NDArray[np.bool_]) -> float:
        known = slice(0, len(TASKS))
        return self.thought[:, reasons, known].sum() / self.completion[:, reasons, known].sum()

    def _tag_shares(self) -> dict[str, dict[str, float]]:
        by_task = self.tag.sum(axis=1)
        order = np.argsort(-by_task, kind="stable")
        found: dict[str, dict[str, float]] = {}
        for section, chosen in (("subtags-large", order[:6]), ("subtags-small", order[6:12])):
            found[section] = {
                f"share/{TASKS[t]}/{tag}": self.tag[t, TAG_NAMES.index(tag)] / by_task[t]
                for t in chosen
                for tag in TAGS[TASKS[t]]
            }
        return found

    def _money(self, by_model: Floats, totals: float) -> dict[str, dict[str, float]]:
        known = (self.prompt + self.completion)[..., : len(TASKS)].sum(axis=(0, 1))
        cost = self.cost[..., : len(TASKS)].sum(axis=(0, 1))
        spent = self.cost.sum(axis=(0, 2))
        price = cost / 1e9 / known * 1e6
        used = by_model > 0
        x = np.log10(spent[used] / 1e9 / by_model[used] * 1e6)
        slope = _slope(x, np.log10(by_model[used]))
        return {
            "task-quadrants": {"split": float(np.median(price)), "price/programming": price[0]},
            "price-map": {"slope": slope},
            "price-index": {"last": self._index()},
            "what-if": {
                f"{MODELS[0].id}→{MODELS[CHEAP].id}": self._at_price_of(CHEAP, self.units[:, 0])
            },
            "multi-homing": {"mean": float(self.homes.sum(axis=1)[self.homes.any(axis=1)].mean())},
            "market-map": {"spend_share/kestrel": spent[self._of("kestrel")].sum() / spent.sum()},
            "concentration": {
                "first_weeks": self._herfindahl(slice(None, _EDGE)),
                "last_weeks": self._herfindahl(slice(-_EDGE, None)),
            },
        }

    def _at_price_of(self, model: int, units: Floats) -> float:
        """Return what fresh, cached and answered tokens would cost at a model's prices."""
        one = MODELS[model]
        return float(units @ np.array([one.usd_in, one.usd_in * 0.1, one.usd_out])) * 1e3

    def _index(self) -> float:
        """Return a chained Fisher index of prices over whole months."""
        index = 1.0
        tokens, cost = (cube.reshape(MONTHS + 1, -1)[:MONTHS] for cube in self.priced)
        for before, after in itertools.pairwise(range(MONTHS)):
            both = (cost[before] > 0) & (cost[after] > 0)
            old, new = tokens[before, both], tokens[after, both]
            old_price, new_price = cost[before, both] / old, cost[after, both] / new
            index *= math.sqrt(
                (old @ new_price) / (old @ old_price) * ((new @ new_price) / (new @ old_price))
            )
        return index

    def outcomes(self) -> dict[str, dict[str, float]]:
        """Return rates that estimates from rewards should cover, and medians from histograms."""
        n, good = self.rewards
        fit = {
            f"{model.id}/{task}": float(good[m, t] / n[m, t])
            for m, model in enumerate(MODELS)
            for t, task in enumerate(TASKS)
            if n[m, t]
        }
        middles: dict[str, float] = {}
        for index, name in enumerate(PROVIDERS):
            cumulated = np.cumsum(self.first_token[index])
            if cumulated[-1]:
                half = float(cumulated[-1]) / 2
                middles[f"p50/{name}"] = float((cumulated < half).sum())
        shares = self.truly / self.truly.sum()
        about = {f"share/{name}": float(v) for name, v in zip(TASKS, shares, strict=True)}
        found = {"task-fit": fit, "latency": middles, "task-shares": about}
        found |= self._corrected()
        pair = f"{MODELS[0].id}/translation/{MODELS[CHEAP].id}"
        own, others = requests.FALLS_SHORT
        suffices = self.world.planted.cheap_suffices
        found["overpaying"] = {f"behind/{pair}": 0.0 if suffices else others - own}
        if suffices:
            spent, prompt, came_out = self.dear
            would = self._at_price_of(CHEAP, np.array([prompt, 0.0, came_out]))
            found["overpaying"][pair] = spent - would
        return found

    def _corrected(self) -> dict[str, dict[str, float]]:
        """Return what the shares of tokens by task are, whatever the labels say."""
        about = self.about
        is_open = np.array([model.open_weights for model in MODELS])
        china = is_open & np.array([model.country == "CN" for model in MODELS])
        sources = {
            "Closed": ~is_open,
            "Open, China": china,
            "Open, rest of world": is_open & ~china,
        }
        authors = {author: self._of(author) for author in sorted({m.author for m in MODELS})}

        def tasks_of(models: NDArray[np.bool_]) -> dict[str, float]:
            sums = about[models].sum(axis=0)
            return {f"corrected/{name}": sums[i] / sums.sum() for i, name in enumerate(TASKS)}

        def whose(task: str, groups: dict[str, NDArray[np.bool_]]) -> dict[str, float]:
            column = about[:, TASKS.index(task)]
            return {
                f"corrected/{name}": column[models].sum() / column.sum()
                for name, models in groups.items()
            }

        return {
            "open-tasks": tasks_of(is_open),
            "china-tasks": tasks_of(china),
            "programming-sources": whose("programming", sources),
            "roleplay-sources": whose("roleplay", sources),
            "programming-share": {"corrected": about[:, 0].sum() / about.sum()},
            "programming-authors": whose("programming", authors),
            "author-tasks": {
                f"corrected/{author}/{name.removeprefix('corrected/')}": value
                for author, models in authors.items()
                for name, value in tasks_of(models).items()
            },
        }

    def _herfindahl(self, weeks: slice) -> float:
        weekly = (self.prompt + self.completion).sum(axis=2)[weeks]
        authors = sorted({model.author for model in MODELS})
        shares = np.stack([weekly[:, self._of(author)].sum(axis=1) for author in authors])
        shares = shares / shares.sum(axis=0)
        return float((shares**2).sum(axis=0).mean())

    def _counted(self) -> dict[str, dict[str, float]]:
        counts = self.counts
        return {
            "failures": {"failed": counts["failed"], "wasted_nanousd": counts["wasted"]},
            "cache-missed": {
                "repeated_tokens": counts["repeated"],
                "cached_tokens": counts["cached"],
            },
            "sessions": {
                "sessions": counts["sessions"],
                "calls_a_session": counts["session_calls"] / counts["sessions"],
            },
            "rhythm": {"weekend": counts["weekend"] / counts["rows"]},
            "data-quality": {
                "duplicates": counts["duplicates"],
                "early_replies": counts["early"],
                "excess_nanousd": counts["excess_once"],
            },
            "invoice": {"difference_nanousd": counts["excess"]},
        }


def _slope(x: Floats, y: Floats) -> float:
    x = x - x.mean()
    return float((x @ y) / (x @ x))


def finite(numbers: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return plain floats, and only those that are numbers."""
    return {
        section: {name: float(value) for name, value in found.items() if math.isfinite(value)}
        for section, found in numbers.items()
    }
