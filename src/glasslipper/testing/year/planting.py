"""The parameters that were planted, keyed as a study names what it finds."""

from __future__ import annotations

import numpy as np

from glasslipper.testing.year import rows as requests
from glasslipper.testing.year.models import MODELS, named
from glasslipper.testing.year.world import (
    AHEAD,
    DAYS,
    FIRST_DAY,
    MONTHS,
    World,
    month_of_week,
    retention,
)


def parameters(
    world: World, expected: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> dict[str, dict[str, float]]:
    """Return the true values of estimates, by section and finding."""
    planted = world.planted
    found: dict[str, dict[str, float]] = {
        "retention": _retention(world),
    }
    if planted.elasticity is not None:
        elastic = MODELS[named("elastic")[0]].id
        found["elasticity"] = {f"elasticity/{elastic}": planted.elasticity}
    if planted.substitution is not None:
        old, new = MODELS[named("old")[0]].id, MODELS[named("new")[0]].id
        found["switches"] = {f"{old}/{new}": planted.substitution}
    if planted.founder_retention is not None:
        model = named("founder")[0]
        month = int(month_of_week()[MODELS[model].released_week])
        found["glass-slipper"] = {
            f"{MODELS[model].id}/{month_name(month)}": planted.founder_retention
        }
    if planted.boomerang is not None:
        model = MODELS[named("boomerang")[0]].id
        found["boomerang"] = {f"{model}/3": planted.boomerang[2] - planted.boomerang[1]}
    return found


def month_name(month: int) -> str:
    """Return a month of the year, such as 2026-02."""
    number = FIRST_DAY.year * 12 + FIRST_DAY.month - 1 + month
    return f"{number // 12}-{number % 12 + 1:02d}"


def _retention(world: World) -> dict[str, float]:
    rates: dict[str, float] = {}
    for model in range(len(MODELS)):
        for month in range(MONTHS):
            if (world.adopted_WM[:, model] == month).any():
                for k in range(1, MONTHS - month):
                    name = f"{MODELS[model].id}/{month_name(month)}/{k}"
                    rates[name] = retention(world, model, month, k)
    return rates


def spend_ahead(
    world: World,
    expected: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    daily_cost: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> float:
    """Return what the four weeks after the year would cost, at the last weeks' cost of one."""
    recent = slice(DAYS - AHEAD, DAYS)
    each = daily_cost[recent].sum() / expected[:, recent].sum()
    grown = world.planted.prompt_growth ** (AHEAD / requests.DAYS)
    return float(each * grown * expected[:, DAYS : DAYS + AHEAD].sum())
