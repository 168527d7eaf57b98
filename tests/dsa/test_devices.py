"""Everything is made where the model is, as one on a GPU needs it; checked where there is none.

The default device is `meta`, which holds no numbers: whatever is made without saying where fails,
or spoils what comes out. Triton's path is checked in its interpreter.
"""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path
from typing import Any

import pytest
import torch

from glasslipper.dsa import decode, evaluate, fit, speed, texts
from glasslipper.dsa.engine import SparseEngine
from glasslipper.dsa.errors import ModelUnfit
from glasslipper.dsa.fit import Effort, Fitted
from glasslipper.dsa.memo import Memo
from glasslipper.dsa.models import open_model
from glasslipper.dsa.sparse_stage import Stage

WORDS = ["\n".join(pydoc_data.topics.topics.values())[:60_000]]
EFFORT = Effort(sequences=4, rows=8, steps=2, calibration=1)


@pytest.mark.parametrize("is_native", [True, False])
def test_an_answer_is_made_where_the_model_is(
    tiny: Any, is_native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, host = tiny
    if not is_native:
        monkeypatch.setattr(decode, "_is_native_there", lambda: False)
    adapter = speed.untaught(opened, host, k=60)

    def said(**more: Any) -> str:
        engine = SparseEngine(opened, host, adapter, threshold=1.0, **more)
        prompt = [{"role": "user", "content": "here and there " * 40}]
        return "".join(
            token.text for token in engine.generate(prompt, {"max_tokens": 4, "seed": 1})
        )

    for more in ({}, {"block": 16}, {"mass": 0.5}, {"is_sparse": False}):
        there = said(**more)
        with torch.device("meta"):
            assert said(**more) == there


def test_a_fit_is_made_and_judged_where_the_model_is(tiny: Any, tmp_path: Path) -> None:
    opened, host = tiny

    def made(folder: str) -> tuple[Fitted, Any]:
        torch.manual_seed(0)
        stage = Stage(steps=1, rank=2, rows=4)
        found = fit.fit(
            opened, host, WORDS, tmp_path / folder, effort=EFFORT, k=64, length=128, stage=stage
        )
        cut = texts.sequences(opened.tokenizer, WORDS, length=384, most=1)
        judged = evaluate.recall(host, found.adapter, {"text": cut}, Memo())
        return found, judged

    there, judged = made("there")
    with torch.device("meta"):
        again, judged_again = made("again")
    assert again.measured == there.measured
    assert again.adapter.plan == there.adapter.plan
    assert judged_again == judged


def test_a_device_that_is_not_there_is_refused_in_words(tiny_folder: Path) -> None:
    for name in ("cuda:77", "toaster"):
        with pytest.raises(ModelUnfit, match=f"{name} cannot be computed on here") as caught:
            open_model(tiny_folder, device=name)
        assert caught.value.hint
