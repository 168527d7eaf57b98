"""Why a policy does what it does on one task, step by step, in words and numbers."""

from __future__ import annotations

import numpy as np

from glasslipper.puppeteer.encode import Looks
from glasslipper.puppeteer.outcomes import Outcomes
from glasslipper.puppeteer.policy import Policy


def steps(policy: Policy, task: Outcomes, looks: Looks, price: float) -> list[dict[str, object]]:
    """Return the steps of the episode on the one task in `task`."""
    tasks = policy.scale.encode(task, looks)
    episode = policy.episode(tasks)
    told: list[dict[str, object]] = []
    while True:
        worth = episode.worth(price)
        order = [int(model) for model in (-worth).argsort() if np.isfinite(worth[model])]
        sure = episode.sure
        model = episode.decide(price)
        options = {policy.models[one]: round(float(worth[one]), 4) for one in order[:4]}
        if model is None:
            words = f"Stops: its answer is right with {100 * sure:.0f} %, and no call is worth it"
            told.append({"stop": True, "sure": sure, "worth": options, "words": f"{words}."})
            return told
        episode.hear(model)
        place = int(task.said[0, model])
        answer = task.candidates[0][place] if place >= 0 else "nothing that can be read"
        words = (
            f"Sure to {100 * sure:.0f} %. Asks {policy.models[model]} (worth "
            f"{100 * worth[model]:+.1f} points after its cost): {answer[:80]}"
        )
        told.append(
            {
                "ask": policy.models[model],
                "sure": sure,
                "worth": options,
                "answer": answer,
                "words": words,
            }
        )
