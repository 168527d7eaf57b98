"""The published recipe with a small language model's state, beside the same with the cheap one.

    python benchmarks/puppeteer_states.py [--train 600] [--test 300] [--passes 6] [--fill-s 600]

The paper reads the last hidden state of a 70B reward model. Here `local/smol` (135M) reads the
task, and the mean of its last layer's states, cut to their first components on the training part,
is appended to the state of `paper` (`paper_lm`). The sample is drawn by a seed from either side of
the first split of ZeroEval without o1-mini; both policies learn from and are judged by the same
tasks. States are remembered by content: after `--fill-s` seconds of reading, or Ctrl-C, the same
command goes on, and nothing is compared before the sample is whole. `--quick` takes few tasks.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from glasslipper.cli import puppeteering
from glasslipper.local import fetch
from glasslipper.local.engine import Options
from glasslipper.local.llama import LlamaStates
from glasslipper.puppeteer.baselines import Peers
from glasslipper.puppeteer.encode import Scale, look
from glasslipper.puppeteer.folder import read
from glasslipper.puppeteer.outcomes import Outcomes, split
from glasslipper.puppeteer.paper import Paper
from glasslipper.puppeteer.replay import Played
from glasslipper.store import places
from outcome import Progress, conclude, mention, table

MODEL = "local/smol"
SIZE = 576
COMPONENTS = 64
MOST_CHARS = 400
"""As much of a task as is read: its end, where the question stands."""

SEED = 42
Floats = NDArray[np.float32]


class States:
    """States by content, in a file of records: a hash of the words and the state in halves."""

    def __init__(self, path: Path, weights: Path) -> None:
        self._path = path
        self._weights = weights
        self._kind = np.dtype([("key", "V32"), ("state", np.float16, SIZE)])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        whole = path.stat().st_size // self._kind.itemsize
        os.truncate(path, whole * self._kind.itemsize)  # a record that was cut short
        known = np.fromfile(path, self._kind, count=whole)
        self._known = {bytes(one["key"]): one["state"] for one in known}

    def find(self, text: str) -> Floats | None:
        """Return the state of a text, if it is known."""
        found = self._known.get(_key(text))
        return None if found is None else found.astype(np.float32)

    def fill(self, texts: list[str], most_s: float) -> float:
        """Read what is not known yet, for so long; return the CPU seconds that it took."""
        todo = [text for text in texts if self.find(text) is None]
        if not todo:
            return 0.0
        began_s, cpu_s = time.monotonic(), time.process_time()
        progress = Progress("states", len(todo))
        with tempfile.TemporaryDirectory() as folder, self._path.open("ab") as file:
            model = LlamaStates(
                Options(
                    path=str(self._weights),
                    folder=folder,
                    context_tokens=512,
                    slots=1,
                    batch_tokens=512,
                )
            )
            for text in todo:
                if time.monotonic() - began_s > most_s:
                    break
                record = np.zeros(1, self._kind)
                record["key"], record["state"] = _key(text), model.mean(text)
                file.write(record.tobytes())
                file.flush()
                self._known[_key(text)] = record["state"][0]
                progress.step()
        return time.process_time() - cpu_s


def _key(text: str) -> bytes:
    return hashlib.sha256(f"{MODEL}\0{text}".encode()).digest()


def main() -> None:
    options = _options()
    train, test = _sample(options.train, options.test)
    (weights,) = fetch(MODEL)
    states = States(places.models().parent / "puppeteer" / "states-smol.bin", weights)
    texts = [[task.text[-MOST_CHARS:] for task in part.tasks] for part in (train, test)]
    cpu_s = states.fill([*texts[0], *texts[1]], options.fill_s)
    told = [[states.find(text) for text in part] for part in texts]
    missing = sum(one is None for part in told for one in part)
    if missing:
        mention(f"{missing} states are to be read yet: run the same command again.")
        sys.exit(1)
    read = _components(*(np.stack([one for one in part if one is not None]) for part in told))
    policies: dict[str, dict[str, object]] = {}
    rights: dict[str, NDArray[np.float64]] = {}
    for name, extra in (("paper", (None, None)), ("paper_lm", read)):
        began_s = time.process_time()
        played = _played(train, test, extra, options.passes)
        rights[name] = played.right(test)
        low, high = _interval(100 * rights[name])
        policies[name] = {
            "accuracy": round(float(rights[name].mean()), 5),
            "accuracy_ci": [round(low / 100, 5), round(high / 100, 5)],
            "usd_per_1k": round(1000 * float(played.usd(test).mean()), 5),
            "train_cpu_s": round(time.process_time() - began_s, 1),
        }
    gain = 100 * (rights["paper_lm"] - rights["paper"])
    table(
        ("policy", "right", "interval", "$ per 1k"),
        [
            (k, one["accuracy"], one["accuracy_ci"], one["usd_per_1k"])
            for k, one in policies.items()
        ],
    )
    conclude(
        {
            "train_tasks": len(train),
            "test_tasks": len(test),
            "passes": options.passes,
            "policies": policies,
            "best_single": round(float(test.right[:, train.best].mean()), 5),
            "gain_points": round(float(gain.mean()), 3),
            "gain_ci": [round(one, 3) for one in _interval(gain)],
            "filling_cpu_s": round(cpu_s, 1),
        }
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=600)
    parser.add_argument("--test", type=int, default=300)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--fill-s", type=float, default=600)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.train, options.test, options.passes = 30, 15, 2
    return options


def _sample(train: int, test: int) -> tuple[Outcomes, Outcomes]:
    data = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
    outcomes = read(data / "zeroeval_outcomes", without=frozenset({"o1-mini-2024-09-12"}))
    is_train = split(outcomes.kinds, seed=SEED)
    draw = np.random.default_rng(0)
    sides = ((np.flatnonzero(is_train), train), (np.flatnonzero(~is_train), test))
    one, other = (np.sort(draw.permutation(rows)[:count]) for rows, count in sides)
    return outcomes.rows(one), outcomes.rows(other)


def _played(
    train: Outcomes, test: Outcomes, extra: tuple[Floats | None, Floats | None], passes: int
) -> Played:
    vectors = puppeteering.vectors()
    looks = [look(part.tasks, part.candidates, vectors) for part in (train, test)]
    scale = Scale.fit(train, looks[0], unit_usd=train.unit_usd)
    weights = Peers.fit(train, looks[0].vectors, seed=SEED).weights
    with puppeteering.told(quiet=not sys.stderr.isatty()) as tell:
        policy = Paper.train(
            train,
            scale.encode(train, looks[0]),
            seed=SEED,
            weights=weights,
            tell=tell,
            extra=extra[0],
            passes=passes,
        )
    return policy.play(test, scale.encode(test, looks[1]), seed=SEED, extra=extra[1])


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    draw = np.random.default_rng(SEED)
    means = values[draw.integers(0, len(values), (2000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _components(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return the first components of states, as the training part has them."""
    mean = train.mean(0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    kept = axes[:COMPONENTS].T
    spread = ((train - mean) @ kept).std(0) + 1e-6
    return ((train - mean) @ kept / spread / 2, (test - mean) @ kept / spread / 2)


if __name__ == "__main__":
    main()
