"""The adapter: what a retrofit adds to a model, in one file beside it. The model is not touched.

A safetensors file: the indexers' weights, and in its metadata the plan (which layers are dense,
full or shared, with which budgets), the model's fingerprint and what the retrofit was made with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as packed

from glasslipper.dsa.errors import AdapterUnfit
from glasslipper.dsa.host import Shape
from glasslipper.dsa.indexer import DropIn, IndexShape
from glasslipper.dsa.tuning import Tuning

VERSION = 1
FILE = "adapter.safetensors"
_CHANGE = "change."


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """How one layer attends: to all, by its own indexer, or by what layer `source` chose."""

    kind: Literal["dense", "full", "shared"]
    k: int = 0
    source: int = -1
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A retrofit: the indexers by layer, and how each layer uses them."""

    model: Shape
    index: IndexShape
    fingerprint: str
    context_tokens: int
    plan: tuple[LayerPlan, ...]
    indexers: Mapping[int, DropIn]
    made_with: Mapping[str, Any] = field(default_factory=dict)
    tuning: Tuning = field(default_factory=dict)
    """Changes to the model, from the sparse stage; empty where it was not run."""

    @property
    def parameters(self) -> int:
        """How many numbers it adds to the model."""
        changes = (matrix for change in self.tuning.values() for matrix in change)
        indexers = (p for indexer in self.indexers.values() for p in indexer.parameters())
        return sum(p.numel() for p in (*indexers, *changes))


def save(adapter: Adapter, folder: Path) -> Path:
    """Write the adapter into a folder, whole or not at all, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "version": VERSION,
        "model": asdict(adapter.model),
        "index": asdict(adapter.index),
        "fingerprint": adapter.fingerprint,
        "context_tokens": adapter.context_tokens,
        "plan": [asdict(layer) for layer in adapter.plan],
        "made_with": dict(adapter.made_with),
    }
    weights = {
        f"{layer}.{name}": weight.to(torch.float16).contiguous()
        for layer, indexer in adapter.indexers.items()
        for name, weight in indexer.state_dict().items()
    }
    for name, change in adapter.tuning.items():
        for place, matrix in enumerate(change):
            weights[f"{_CHANGE}{name}.{place}"] = matrix.to(torch.float16).contiguous()
    path = folder / FILE
    new = path.with_suffix(".new")
    # `save_file` would let nobody else read it, whatever the umask.
    new.write_bytes(packed(weights, metadata={"glasslipper_dsa": json.dumps(head)}))
    new.replace(path)
    return path


def load(
    folder: Path, *, fingerprint: str | None = None, device: torch.device | str = "cpu"
) -> Adapter:
    """Read the adapter in a folder; with a fingerprint, only if it is that model's.

    Raises:
        AdapterUnfit: It is missing, damaged, of another version, or for another model.
    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        raise AdapterUnfit(
            f"There is no adapter at {path}.", hint="Make one: glasslipper dsa fit --model …"
        )
    try:
        with safe_open(path, framework="pt") as file:
            head: Any = json.loads((file.metadata() or {})["glasslipper_dsa"])
            weights = {name: file.get_tensor(name).float().to(device) for name in file.keys()}
        if head["version"] != VERSION:
            raise AdapterUnfit(f"{path} has version {head['version']}; this reads {VERSION}.")
        model, index = Shape(**head["model"]), IndexShape(**head["index"])
        plan = tuple(LayerPlan(**layer) for layer in head["plan"])
        tuning = _tuning({n: w for n, w in weights.items() if n.startswith(_CHANGE)})
        weights = {n: w for n, w in weights.items() if not n.startswith(_CHANGE)}
        indexers = {
            layer: _indexer(model, index, layer, weights)
            for layer in sorted({int(name.partition(".")[0]) for name in weights})
        }
        _check(plan, model, indexers)
        found = Adapter(
            model=model,
            index=index,
            fingerprint=head["fingerprint"],
            context_tokens=head["context_tokens"],
            plan=plan,
            indexers=indexers,
            made_with=head["made_with"],
            tuning=tuning,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise AdapterUnfit(
            f"{path} is no sound adapter: {str(error).splitlines()[0]}", hint="Fit it again."
        ) from error
    if fingerprint is not None and found.fingerprint != fingerprint:
        raise AdapterUnfit(
            f"{path} was made for another model.",
            hint="Give the model that it was fitted to, or fit an adapter for this one.",
        )
    return found


def _indexer(
    model: Shape, index: IndexShape, layer: int, weights: Mapping[str, torch.Tensor]
) -> DropIn:
    indexer = DropIn(index, heads=model.heads, groups=model.groups, width=model.width)
    mark = f"{layer}."
    indexer.to(next(iter(weights.values())).device).load_state_dict(
        {name.removeprefix(mark): w for name, w in weights.items() if name.startswith(mark)}
    )
    return indexer.requires_grad_(requires_grad=False)


def _tuning(weights: Mapping[str, torch.Tensor]) -> Tuning:
    found: dict[str, dict[int, torch.Tensor]] = {}
    for name, matrix in weights.items():
        of, _, place = name.removeprefix(_CHANGE).rpartition(".")
        found.setdefault(of, {})[int(place)] = matrix
    return {of: tuple(m for _, m in sorted(some.items())) for of, some in found.items()}


def _check(plan: tuple[LayerPlan, ...], model: Shape, indexers: Mapping[int, DropIn]) -> None:
    if len(plan) != model.layers:
        raise ValueError("the plan has another number of layers than the model")
    for number, layer in enumerate(plan):
        source = number if layer.kind == "full" else layer.source
        if layer.kind != "dense" and (source not in indexers or source > number or layer.k < 1):
            raise ValueError(f"the plan of layer {number} cannot be followed")
