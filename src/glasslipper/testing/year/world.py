"""Who asks: workloads, what they are about, and which models they turn to in which week.

Drawn once from the seed, before any row. A workload's requests go to its *main* model, to a
*pool* (an open model or a closed one, where the drift is), or to models that it has taken up
beside, each with a life of its own month by month (where cohorts are). Topics and tags are those
of `classify`. Knows no requests.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from glasslipper.classify.taxonomy import TOPICS
from glasslipper.testing.year.models import MODELS, named
from glasslipper.testing.year.truth import Planted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

FIRST_DAY = date(2025, 11, 3)
"""A Monday."""

WEEKS = 52
DAYS = 7 * WEEKS
AHEAD = 28
"""Days after the year whose spending is drawn too, as the truth of forecasts."""

SIDE, POOL = 0.15, 0.25
"""Shares of requests that go to models taken up beside, and to the pool."""

TASKS: tuple[str, ...] = TOPICS
_TASK_WEIGHTS = np.array([5, 16, 12, 6, 8, 5, 5, 4, 4, 6, 3, 5, 4, 8], float)
_LATE_WEIGHTS = np.array([60, 4, 10, 3, 5, 2, 3, 2, 2, 3, 1, 1, 2, 2], float)

TAGS: dict[str, tuple[str, ...]] = {
    "programming": (
        "code.general_impl",
        "code.debugging",
        "code.repo_scan",
        "code.frontend_ui",
        "code.sql_database",
    ),
    "roleplay": ("general.roleplay_fiction", "general.conversational_reply"),
    "technology": ("general.devops", "agent.workflow_execution", "general.qa_knowledge"),
    "science": ("general.research_report", "general.qa_knowledge"),
    "translation": ("general.translation",),
    "health": ("general.qa_knowledge", "general.summarization"),
    "finance": ("general.finance_trading", "data.extraction"),
    "legal": ("general.summarization", "data.extraction"),
    "academia": ("general.research_report", "general.content_writing"),
    "marketing": ("general.content_writing", "general.image_prompting"),
    "seo": ("general.content_writing",),
    "trivia": ("general.qa_knowledge",),
    "math": ("general.math",),
    "other": ("general.conversational_reply", "general.classification_tagging"),
}
"""Finer tags, as classifiers give them."""

TAG_NAMES = tuple(sorted({tag for tags in TAGS.values() for tag in tags}))

COUNTRIES = ("US", "DE", "GB", "SG", "IN", "JP", "BR", "FR", "AU", "ZA")
_COUNTRY_WEIGHTS = np.array([34, 14, 8, 10, 9, 6, 5, 7, 4, 3], float)
LANGUAGES = ("en", "de", "zh", "es", "fr", "ja", "pt", "ru")
_LANGUAGE_WEIGHTS = np.array([78, 5, 5, 3, 3, 2, 2, 2], float)
APPS = ("ide", "chat", "support", "pipeline", "search", "writer")


class World(Struct, frozen=True, kw_only=True):
    """The workloads, as arrays over them; `…_WK` have a column for each week, `…_M` for models.

    `rate` is a workload's share of the traffic, `start_day` its first day, `main_WK` its main
    model. `beside` lists (workload, model, month) in which a model taken up beside is used;
    `adopted_WM` is the month of the first use, or -1. `offer_PM` are the log prices of the
    elastic model's providers by month, `weight_PM` their shares of its requests.
    """

    planted: Planted
    seed: int
    key: Ints
    app: Ints
    task: Ints
    language: Ints
    country: Ints
    users: Ints
    session: Ints
    caches: NDArray[np.bool_]
    offers_tools: NDArray[np.bool_]
    dear: NDArray[np.bool_]
    rate: Floats
    start_day: Ints
    main_WK: Ints
    beside: Ints
    adopted_WM: Ints
    offer_PM: Floats
    weight_PM: Floats
    day_noise: Floats

    @property
    def size(self) -> int:
        """How many workloads there are."""
        return len(self.key)


def month_of_week() -> Ints:
    """Return, for each week, the number of its Monday's month, counted from the year's first."""
    days = [FIRST_DAY + timedelta(weeks=week) for week in range(WEEKS)]
    return np.array([(d.year - FIRST_DAY.year) * 12 + d.month - FIRST_DAY.month for d in days])


MONTHS = int(month_of_week()[-1]) + 1


def draw(seed: int, planted: Planted, *, workloads: int = 600) -> World:
    """Draw a world with this many workloads."""
    rng = np.random.default_rng([seed, 2])
    late = np.arange(workloads) % 2 == 1
    task = np.where(
        late,
        rng.choice(len(TASKS), workloads, p=_LATE_WEIGHTS / _LATE_WEIGHTS.sum()),
        rng.choice(len(TASKS), workloads, p=_TASK_WEIGHTS / _TASK_WEIGHTS.sum()),
    )
    start = np.where(late, rng.integers(14, DAYS - 42, workloads), 0)
    country = rng.choice(len(COUNTRIES), workloads, p=_COUNTRY_WEIGHTS / _COUNTRY_WEIGHTS.sum())
    dear = task == TASKS.index("translation")
    main = _main_models(rng, planted, task, dear)
    adopted, beside = _taken_up(rng, planted, late)
    offer, weight = _offers(rng, planted)
    weekday = np.tile([1.0, 1.05, 1.06, 1.04, 0.96, 0.45, 0.40], (DAYS + AHEAD) // 7)
    noise = rng.lognormal(0, 0.06, DAYS + AHEAD)
    return World(
        planted=planted,
        seed=seed,
        key=np.arange(workloads) // 8,
        app=rng.integers(0, len(APPS), workloads),
        task=task,
        language=rng.choice(len(LANGUAGES), workloads, p=_LANGUAGE_WEIGHTS / 100),
        country=country[np.arange(workloads) // 8],
        users=rng.integers(3, 12, workloads),
        session=np.where(np.isin(task, [0, 2]), 6, np.where(task == 1, 8, 2)),
        caches=rng.random(workloads) < 0.35,
        offers_tools=np.isin(task, [0, 2, 6]) | (rng.random(workloads) < 0.15),
        dear=dear,
        rate=rng.lognormal(0, 0.7, workloads),
        start_day=start,
        main_WK=main,
        beside=beside,
        adopted_WM=adopted,
        offer_PM=offer,
        weight_PM=weight,
        day_noise=weekday * noise,
    )


def _main_models(rng: np.random.Generator, planted: Planted, task: Ints, dear: Ints) -> Ints:
    """Draw each workload's main model week by week: mostly the one that it had."""
    released = np.array([model.released_week for model in MODELS])
    old, new = named("old")[0], named("new")[0]
    usable = [*named("main"), old, new]
    main = np.zeros((len(task), WEEKS), np.int64)
    first = [index for index in usable if released[index] <= 0]
    main[:, 0] = rng.choice(first, len(task))
    main[rng.random(len(task)) < 0.3, 0] = old
    event = released[new]
    for week in range(1, WEEKS):
        now = main[:, week - 1].copy()
        out = [index for index in usable if released[index] <= week and index != new]
        calm = (now == old) & (abs(week - event) <= 6) | (now == new) & (week - event <= 8)
        wanders = (rng.random(len(task)) < 0.012) & ~calm
        now[wanders] = rng.choice(out, int(wanders.sum()))
        if week == event and planted.substitution is not None:
            goes = (now == old) & (rng.random(len(task)) < planted.substitution)
            now[goes] = new
        main[:, week] = now
    main[dear] = 0
    return main


def _taken_up(rng: np.random.Generator, planted: Planted, late: Ints) -> tuple[Ints, Ints]:
    """Draw which workloads take a model up, in which month, and in which later months they use it.

    Months are independent of each other given the cohort, so that a cohort's retention is a
    binomial share of a known rate.
    """
    months = month_of_week()
    adopted = np.full((len(late), len(MODELS)), -1, np.int64)
    beside: list[Ints] = []
    for model in [*named("founder"), *named("boomerang"), *named("steady")]:
        release = int(months[MODELS[model].released_week])
        takes = (rng.random(len(late)) < 0.9) & ~late
        month = np.where(takes, release + rng.integers(0, 6, len(late)), -1)
        adopted[:, model] = month
        for later in range(MONTHS):
            k = later - month
            rate = np.where(
                k == 0,
                1.0,
                [_retention(planted, model, c, n, release) for c, n in zip(month, k, strict=True)],
            )
            uses = takes & (k >= 0) & (rng.random(len(late)) < rate)
            who = np.flatnonzero(uses)
            beside.append(np.stack([who, np.full(len(who), model), np.full(len(who), later)]))
    return adopted, np.concatenate(beside, axis=1)


def _retention(planted: Planted, model: int, month: int, k: int, release: int) -> float:
    """Return the rate at which a cohort uses a model k months after it took it up."""
    if k <= 0:
        return 0.0
    if MODELS[model].role == "founder":
        if month == release and planted.founder_retention is not None:
            return planted.founder_retention
        return planted.later_retention
    curve = planted.steady
    if MODELS[model].role == "boomerang" and planted.boomerang is not None:
        curve = planted.boomerang
    return curve[min(k, len(curve)) - 1]


def retention(world: World, model: int, month: int, k: int) -> float:
    """Return the true rate of a cohort, `k` months after `month`."""
    release = int(month_of_week()[MODELS[model].released_week])
    return 1.0 if k == 0 else _retention(world.planted, model, month, k, release)


def _offers(rng: np.random.Generator, planted: Planted) -> tuple[Floats, Floats]:
    """Draw the elastic model's prices by provider and month, and where its requests go.

    Without an elasticity all providers ask the same, so that none can be measured.
    """
    providers = len(MODELS[named("elastic")[0]].providers)
    liking = rng.normal(0, 0.3, (providers, 1))
    offer = rng.uniform(-0.45, 0.45, (providers, MONTHS))
    if planted.elasticity is None:
        offer = np.zeros((providers, MONTHS))
    noise = rng.normal(0, 0.10, (providers, MONTHS))
    pull = np.exp(liking + (planted.elasticity or 0.0) * offer + noise)
    return offer, pull / pull.sum(axis=0)
