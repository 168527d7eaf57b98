"""Puts another attention into a Hugging Face model, layer by layer, without touching its code.

Knows transformers' `AttentionInterface` and where a layer's own queries and keys are made. One
sequence at a time, without padding. What the attention then does is a *look*: a function from
what a layer has (`Seen`) to what its attention gives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from glasslipper.dsa.errors import ModelUnfit
from glasslipper.dsa.tuning import PROJECTIONS, Tuning, changed

NAME = "glasslipper_dsa"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one layer has for the T newest of S tokens.

    `q_THD` and `k_SGD` are rotated, as the dense attention takes them; `raw_q_TE` and `raw_k_TF`
    are the outputs of the layer's query and key projections, before position enters.
    """

    layer: int
    q_THD: Tensor
    k_SGD: Tensor
    v_SGD: Tensor
    raw_q_TE: Tensor
    raw_k_TF: Tensor
    scale: float

    @property
    def first(self) -> int:
        """The position of the first of the T queries."""
        return self.k_SGD.shape[0] - self.q_THD.shape[0]

    @property
    def at_T(self) -> Tensor:
        """The queries' positions."""
        return torch.arange(self.first, self.k_SGD.shape[0], device=self.q_THD.device)


class Look(Protocol):
    """An attention: takes what a layer has, returns (T, H, D)."""

    def __call__(self, seen: Seen) -> Tensor:
        """Attend."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What an indexer must know of a model."""

    layers: int
    heads: int
    groups: int
    width: int
    rope_base: float


class Host:
    """A model whose attention can be exchanged."""

    def __init__(self, model: nn.Module) -> None:
        """Take hold of the model's layers.

        Raises:
            ModelUnfit: Its layers have no query and key projections of their own.
        """
        self.model = cast(Any, model)  # each architecture has a class of its own
        self._layers = _attention_layers(model)
        self._raw: dict[int, tuple[Tensor | None, Tensor | None]] = {}
        self._look: Look | None = None
        self._tuning: Tuning = {}
        self._is_tuned = False
        for number, layer in enumerate(self._layers):
            layer.glasslipper_host = (self, number)
            layer.q_proj.register_forward_hook(self._keep(number, 0))
            layer.k_proj.register_forward_hook(self._keep(number, 1))
            for name in PROJECTIONS:
                if hasattr(layer, name):
                    hook = self._tuned(f"{number}.{name}")
                    getattr(layer, name).register_forward_hook(hook, prepend=True)
        self.shape = _shape(self.model.config, self._layers)
        AttentionInterface.register(NAME, _attend)
        AttentionMaskInterface.register(NAME, _no_mask)
        self.model.set_attn_implementation(NAME)

    @property
    def layers(self) -> list[Any]:
        """The attention modules, in order."""
        return self._layers

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    def tune(self, tuning: Tuning) -> None:
        """Hold changes ready for looks that are made for them (`is_tuned`)."""
        self._tuning = tuning

    @contextmanager
    def looking(self, look: Look) -> Generator[None]:
        """Let all layers attend by `look` for as long as the context lasts."""
        before = self._look, self._is_tuned
        self._look, self._is_tuned = look, bool(getattr(look, "is_tuned", False))
        try:
            yield
        finally:
            self._look, self._is_tuned = before
            self._raw.clear()

    def hidden(self, tokens_T: Tensor, **more: Any) -> Any:
        """Run the model without its head over one sequence."""
        return self.model.base_model(tokens_T[None].to(self.model.device), **more)

    def logits(self, hidden_TM: Tensor) -> Tensor:
        """Return the model's head over hidden states.  (T, V), float32."""
        return self.model.get_output_embeddings()(hidden_TM).float()

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Call the look in force."""
        raw_q, raw_k = self._raw.pop(layer, (None, None))
        if self._look is None or raw_q is None or raw_k is None:
            raise RuntimeError("the model runs outside of Host.looking")
        if q.shape[0] != 1:
            raise ModelUnfit("Sparse attention takes one sequence at a time.")
        seen = Seen(
            layer=layer,
            q_THD=q[0].transpose(0, 1),
            k_SGD=k[0].transpose(0, 1),
            v_SGD=v[0].transpose(0, 1),
            raw_q_TE=raw_q[0],
            raw_k_TF=raw_k[0],
            scale=scale,
        )
        return self._look(seen)

    def _tuned(self, name: str) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            del module
            if not self._is_tuned or name not in self._tuning:
                return None
            return changed(output, inputs[0], self._tuning[name])

        return hook

    def _keep(self, layer: int, slot: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            del module, inputs
            q, k = self._raw.get(layer, (None, None))
            self._raw[layer] = (output, k) if slot == 0 else (q, output)

        return hook


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Be the attention function that transformers calls: (B, H, T, D) in, (B, T, H, D) out."""
    del attention_mask, more
    host, layer = cast("tuple[Host, int]", module.glasslipper_host)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return host.attend(layer, query, key, value, scale)[None], None


def _no_mask(*_: Any, attention_mask: Tensor | None = None, **more: Any) -> None:
    """Be the mask function that transformers calls: order alone masks here."""
    del more
    if attention_mask is not None and not bool(attention_mask.all()):
        raise ModelUnfit("Sparse attention takes one sequence at a time, without padding.")


def _attention_layers(model: nn.Module) -> list[Any]:
    if not hasattr(model, "set_attn_implementation"):
        raise ModelUnfit("This is not a transformers language model.")
    layers: list[Any] = [
        module
        for name, module in model.named_modules()
        if name.endswith("self_attn") and hasattr(module, "q_proj") and hasattr(module, "k_proj")
    ]
    wanted = int(getattr(model.config, "num_hidden_layers", 0))
    if not layers or len(layers) != wanted:
        kind = getattr(model.config, "model_type", "unknown")
        raise ModelUnfit(
            f"Of the {wanted} layers of this {kind} model, {len(layers)} have separate q_proj and "
            "k_proj.",
            hint="Retrofits work for Llama, Qwen2, Qwen3, Mistral and others built like them.",
        )
    if getattr(model.config, "sliding_window", None) and any(
        kind != "full_attention" for kind in getattr(model.config, "layer_types", None) or []
    ):
        raise ModelUnfit(
            "This model has sliding-window layers, which sparse attention would not speed up.",
            hint="Take a model whose layers all attend to everything.",
        )
    return layers


def _shape(config: Any, layers: list[Any]) -> Shape:
    heads = int(config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    rope = getattr(config, "rope_parameters", None) or {}
    return Shape(
        layers=len(layers),
        heads=heads,
        groups=int(getattr(config, "num_key_value_heads", None) or heads),
        width=width,
        rope_base=float(rope.get("rope_theta", 10000.0)),
    )
