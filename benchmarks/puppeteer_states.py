"""The published recipe with a small language model's state, beside the same with the cheap one.

    python benchmarks/puppeteer_states.py [--tasks 900] [--passes 6] [--fill-s 600]

The paper reads the last hidden state of a 70B reward model. Here `local/smol` (135M) reads the
task, and the mean of its last layer's states, cut to their first components on the training part,
is appended to the state of `paper` (`paper_lm`). States are remembered by content, so filling may
be stopped and goes on; what is compared are the tasks whose states are known. The test part is
30 % of the sample, by the seed of the first split.
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
from glasslipper.puppeteer.outcomes import split
from glasslipper.puppeteer.paper import Paper
from glasslipper.store import places
from outcome import Progress, conclude

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
                self._known[_key(text)] = record["state"][0]
                progress.step()
        return time.process_time() - cpu_s


def _key(text: str) -> bytes:
    return hashlib.sha256(f"{MODEL}\0{text}".encode()).digest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=900)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--fill-s", type=float, default=600)
    options = parser.parse_args()
    data = Path(os.environ.get("GLASSLIPPER_DATA", "../shared/data"))
    outcomes = read(data / "zeroeval_outcomes", without=frozenset({"o1-mini-2024-09-12"}))
    some = np.random.default_rng(0).permutation(len(outcomes))[: options.tasks]
    outcomes = outcomes.rows(np.sort(some))
    (weights,) = fetch(MODEL)
    states = States(places.models().parent / "puppeteer" / "states-smol.bin", weights)
    texts = [task.text[-MOST_CHARS:] for task in outcomes.tasks]
    cpu_s = states.fill(texts, options.fill_s)
    known = [
        (row, found) for row, text in enumerate(texts) if (found := states.find(text)) is not None
    ]
    outcomes = outcomes.rows(np.array([row for row, _ in known]))
    told = np.stack([found for _, found in known])
    is_train = split(outcomes.kinds, seed=SEED)
    train, test = outcomes.rows(is_train), outcomes.rows(~is_train)
    read_train, read_test = _components(told[is_train], told[~is_train])
    vectors = puppeteering.vectors()
    looks = look(outcomes.tasks, outcomes.candidates, vectors)
    unit = float(train.usd[:, int(train.right.mean(0).argmax())].mean())
    scale = Scale.fit(train, looks.rows(is_train), unit_usd=unit)
    weights_of = Peers.fit(train, looks.vectors[is_train], seed=SEED).weights
    tasks = scale.encode(train, looks.rows(is_train)), scale.encode(test, looks.rows(~is_train))
    policies: dict[str, dict[str, object]] = {}
    rights: dict[str, NDArray[np.float64]] = {}
    for name, extra in (("paper", (None, None)), ("paper_lm", (read_train, read_test))):
        began_s = time.process_time()
        with puppeteering.told(quiet=not sys.stderr.isatty()) as tell:
            policy = Paper.train(
                train,
                tasks[0],
                seed=SEED,
                weights=weights_of,
                tell=tell,
                extra=extra[0],
                passes=options.passes,
            )
        played = policy.play(test, tasks[1], seed=SEED, extra=extra[1])
        rights[name] = played.right(test)
        policies[name] = {
            "accuracy": round(float(rights[name].mean()), 5),
            "usd_per_1k": round(1000 * float(played.usd(test).mean()), 5),
            "train_cpu_s": round(time.process_time() - began_s, 1),
        }
    draw = np.random.default_rng(SEED)
    gain = 100 * (rights["paper_lm"] - rights["paper"])
    means = gain[draw.integers(0, len(gain), (2000, len(gain)))].mean(1)
    best = int(train.right.mean(0).argmax())
    conclude(
        {
            "train_tasks": len(train),
            "test_tasks": len(test),
            "policies": policies,
            "best_single": round(float(test.right[:, best].mean()), 5),
            "gain_points": round(float(gain.mean()), 3),
            "gain_ci": [round(float(one), 3) for one in np.quantile(means, [0.025, 0.975])],
            "filling_cpu_s": round(cpu_s, 1),
        }
    )


def _components(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return the first components of states, as the training part has them."""
    mean = train.mean(0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    kept = axes[:COMPONENTS].T
    spread = ((train - mean) @ kept).std(0) + 1e-6
    return ((train - mean) @ kept / spread / 2, (test - mean) @ kept / spread / 2)


if __name__ == "__main__":
    main()
