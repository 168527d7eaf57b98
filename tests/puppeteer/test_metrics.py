"""The figures of a bench: the same whenever they are computed."""

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
from glasslipper.puppeteer.metrics import Judged, Score, Table, interval

draw = np.random.default_rng(1)
ids = tuple(f"task {number}" for number in range(60))
scores = {"one": Score(draw.integers(0, 2, 60).astype(float), draw.random(60))}
print(interval(Table([Judged(ids, scores)], draws=50).accuracy["one"]))
"""


def test_intervals_are_the_same_in_every_process() -> None:
    def told(seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(
            command, env=environ, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout

    assert len({told(seed) for seed in ("1", "2", "3")}) == 1
