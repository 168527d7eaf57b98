"""A policy's card: what it learned from, when, and what it gave on held-out folds."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from glasslipper import __version__
from glasslipper.puppeteer.outcomes import Outcomes
from glasslipper.puppeteer.policy import Policy


def card(policy: Policy, outcomes: Outcomes, *, seed: int) -> dict[str, object]:
    """Return the card of a policy that was just trained."""
    best = int(policy.skill.argmax())
    return {
        "trained": datetime.now(UTC).strftime("%Y-%m-%d"),
        "version": __version__,
        "tasks": len(outcomes),
        "data_sha256": digest(outcomes),
        "kinds": list(policy.scale.kinds),
        "models": list(policy.models),
        "asks": [policy.models[place] for place in policy.pool],
        "seed": seed,
        "best_single": {
            "model": policy.models[best],
            "accuracy": round(float(policy.skill[best]), 5),
            "usd_per_1k": round(1000 * policy.scale.unit_usd, 5),
        },
        "held_out": [
            {
                "dial": step,
                "price": dial.price,
                "accuracy": round(dial.accuracy, 5),
                "usd_per_1k": round(1000 * dial.usd, 5),
            }
            for step, dial in enumerate(policy.dials)
        ],
        "named": policy.named,
    }


def digest(outcomes: Outcomes) -> str:
    """Return a hash of what was learned from."""
    told = hashlib.sha256()
    for task in outcomes.tasks:
        told.update(f"{task.id}\0{task.text}\0".encode())
    for array in (outcomes.said, outcomes.right, outcomes.chars):
        told.update(array.tobytes())
    return told.hexdigest()
