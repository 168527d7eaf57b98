"""Small changes to a model's attention projections, beside weights that are not touched.

A change is a chain of matrices whose product is added to what a projection does: two thin ones
(LoRA: E. Hu and others, "LoRA: low-rank adaptation of large language models", 2021), or one of
the projection's own size. Knows shapes; knows nothing of how changes are learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")

Kind = Literal["lora", "full"]
Change = tuple[Tensor, ...]
"""Matrices (out, in), applied one after the other."""

Tuning = Mapping[str, Change]
"""Changes by `layer.projection`."""


def untaught(layers: list[Any], kind: Kind, *, rank: int, seed: int = 0) -> dict[str, Change]:
    """Return changes that change nothing yet, for the layers' attention modules."""
    draw = torch.Generator().manual_seed(seed)
    made: dict[str, Change] = {}
    for name, projection in _projections(layers):
        (out, into), device = projection.weight.shape, projection.weight.device
        if kind == "full":
            made[name] = (torch.zeros(out, into, device=device),)
        else:
            down = torch.randn(rank, into, generator=draw, device=draw.device) * into**-0.5
            made[name] = (down.to(device), torch.zeros(out, rank, device=device))
    return made


def changed(output: Tensor, x: Tensor, change: Change) -> Tensor:
    """Return a projection's output with the change added."""
    added = x.to(change[0].dtype)
    for matrix in change:
        added = added @ matrix.T
    return output + added.to(output.dtype)


def _projections(layers: list[Any]) -> Iterator[tuple[str, Any]]:
    for number, layer in enumerate(layers):
        for name in PROJECTIONS:
            if hasattr(layer, name):
                yield f"{number}.{name}", getattr(layer, name)
