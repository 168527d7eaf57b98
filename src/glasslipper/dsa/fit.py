"""The retrofit from end to end: rows of the dense model, indexers, decisions, an adapter.

Everything on the way lies in a working folder, so that a fit that was stopped goes on where it
was. Knows nothing of how progress is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from glasslipper.dsa import choose, sparse_stage, teacher, texts, warmup
from glasslipper.dsa.adapter import Adapter
from glasslipper.dsa.errors import BudgetUnfit, ContextExceeded, TextTooShort
from glasslipper.dsa.host import Host
from glasslipper.dsa.models import Opened
from glasslipper.dsa.sparse_stage import Stage

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, and how much there is."""

Measured = dict[int, list[warmup.Recall]]
"""What each layer keeps at each budget, on calibration text."""

_LEAST_SEQUENCES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is done: sequences to learn from, queries of each, and steps a layer."""

    sequences: int
    rows: int
    steps: int
    calibration: int = 4


EFFORTS = {
    "quick": Effort(sequences=6, rows=96, steps=150, calibration=2),
    "normal": Effort(sequences=24, rows=128, steps=300),
    "long": Effort(sequences=64, rows=192, steps=1500, calibration=8),
}


@dataclass(frozen=True, slots=True)
class Fitted:
    """An adapter, and what was measured on the way."""

    adapter: Adapter
    measured: Measured
    seconds: float


def fit(
    opened: Opened,
    host: Host,
    text: Sequence[str],
    work: Path,
    *,
    effort: Effort,
    k: int,
    length: int,
    share_tolerance: float = 0.0,
    stage: Stage | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> Fitted:
    """Return a retrofit of the model for sequences of `length` tokens and a mean budget of `k`.

    Of the text, `effort.calibration` sequences are kept for decisions and not learned from.
    With a `stage`, the model learns too, through small changes beside its weights.

    Raises:
        ContextExceeded: `length` is more than the model was trained for.
        BudgetUnfit: `k` is more than half of `length`, beyond which nothing is measured.
        TextTooShort: The text has too few tokens.
        NotANumber: The model or an indexer produced NaN.
    """
    if length > opened.context_tokens:
        raise ContextExceeded(
            f"The model was trained for {opened.context_tokens} tokens, not for {length}.",
            hint=f"Give --length {opened.context_tokens} or less.",
        )
    if k > length // 2:
        raise BudgetUnfit(
            f"A budget of {k} tokens cannot be judged on sequences of {length}.",
            hint=f"Give --length {2 * k} or more, or --budget {length // 2} or less.",
        )
    began_s = time.monotonic()
    wanted = effort.sequences + effort.calibration
    cut = texts.sequences(opened.tokenizer, text, length=length, most=wanted)
    if len(cut) < _LEAST_SEQUENCES + effort.calibration:
        raise TextTooShort(
            f"The text makes {len(cut)} sequences of {length} tokens; it takes at least "
            f"{_LEAST_SEQUENCES + effort.calibration}.",
            hint="Give more files to --text, or a smaller --length.",
        )
    held, learned = cut[: effort.calibration], cut[effort.calibration :]
    with _without_denormals():
        for name, some in (("learn", learned), ("calibrate", held)):
            teacher.write(
                host,
                some,
                work / name,
                rows=effort.rows,
                on_progress=lambda done, total, name=name: on_progress(
                    f"dense model, text to {name}", done, total
                ),
            )
        shape = warmup.index_shape(host.shape)
        indexers = warmup.warm_up(
            host.shape,
            shape,
            rows=work / "learn",
            out=work / "indexers",
            steps=effort.steps,
            device=host.device,
            on_progress=lambda done, total: on_progress("indexers", done, total),
        )
        written = {
            layer: teacher.read(work / "calibrate", layer, device=host.device) for layer in indexers
        }
        measured: Measured = {}
        for layer, indexer in indexers.items():
            measured[layer] = warmup.recalls(indexer, written[layer])
            on_progress("calibration", layer + 1, len(indexers))
        judged_at = min(warmup.budgets_for(length), key=lambda budget: abs(budget - k))
        dense = choose.dense_layers(measured, judged_at)
        able = {layer: indexer for layer, indexer in indexers.items() if layer not in dense}
        shared = choose.sharing(able, written, k=k, tolerance=share_tolerance)
        kept = choose.by_source({n: measured[n] for n in able}, able, written, shared)
        given = choose.budgets(kept, mean=k, sources=shared)
    adapter = Adapter(
        model=host.shape,
        index=shape,
        fingerprint=opened.fingerprint,
        context_tokens=opened.context_tokens,
        plan=choose.plan(host.shape.layers, dense=dense, shared=shared, given=given),
        indexers={layer: indexer for layer, indexer in able.items() if layer not in shared},
        made_with={
            "effort": asdict(effort),
            "k": k,
            "length": length,
            "sequences": len(learned),
        },
    )
    if stage is not None:
        adapter = sparse_stage.train(
            host,
            adapter,
            learned,
            held,
            stage,
            work,
            on_progress=lambda done, total: on_progress("sparse stage", done, total),
        )
    seconds = time.monotonic() - began_s
    made_with = {**adapter.made_with, "seconds": round(seconds, 1)}
    return Fitted(replace(adapter, made_with=made_with), measured, seconds)


@contextmanager
def _without_denormals() -> Generator[None]:
    """Tiny probabilities, computed in full, would make a step ten times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
