"""Small dense networks in numpy: forward, backward, and AdamW.

Parameters are a plain dictionary of arrays, so that they can be saved, averaged or perturbed.
Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import numpy as np

from glasslipper.puppeteer.outcomes import Floats

Parameters = dict[str, Floats]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def dense(sizes: tuple[int, ...], draw: np.random.Generator, *, prefix: str = "") -> Parameters:
    """Return the parameters of a network with rectified hidden layers, the last layer small."""
    made: Parameters = {}
    for layer, (wide, high) in enumerate(itertools.pairwise(sizes)):
        is_last = layer == len(sizes) - 2
        spread = np.sqrt((0.1 if is_last else 2.0) / wide)
        made[f"{prefix}W{layer}"] = draw.normal(0, spread, (wide, high)).astype(np.float32)
        made[f"{prefix}b{layer}"] = np.zeros(high, dtype=np.float32)
    return made


def depth(parameters: Mapping[str, Floats], prefix: str = "") -> int:
    """Return the number of layers."""
    return sum(name.startswith(f"{prefix}W") for name in parameters)


def forward(parameters: Mapping[str, Floats], inputs: Floats, *, prefix: str = "") -> list[Floats]:
    """Return what each layer says; the last is the output (rows x outputs)."""
    layers = depth(parameters, prefix)
    told = [inputs]
    for layer in range(layers):
        said = told[-1] @ parameters[f"{prefix}W{layer}"]
        said += parameters[f"{prefix}b{layer}"]
        if layer < layers - 1:
            np.maximum(said, 0, out=said)
        told.append(said)
    return told


def backward(
    parameters: Mapping[str, Floats], told: list[Floats], slope: Floats, *, prefix: str = ""
) -> tuple[Parameters, Floats]:
    """Return the gradients of the parameters and of the inputs, from that of the output."""
    gradients: Parameters = {}
    for layer in reversed(range(depth(parameters, prefix))):
        gradients[f"{prefix}W{layer}"] = told[layer].T @ slope
        gradients[f"{prefix}b{layer}"] = slope.sum(0)
        slope = slope @ parameters[f"{prefix}W{layer}"].T
        if layer:
            slope *= told[layer] > 0
    return gradients, slope


class AdamW:
    """Adam with decoupled weight decay on matrices (Loshchilov & Hutter 2019)."""

    def __init__(
        self, parameters: Parameters, *, decay: float = 0.0, spare: Collection[str] = ()
    ) -> None:
        """Optimise `parameters` in place; the matrices in `spare` do not decay."""
        self._spare = spare
        self._parameters = parameters
        self._decay = decay
        self._mean = {name: np.zeros_like(array) for name, array in parameters.items()}
        self._square = {name: np.zeros_like(array) for name, array in parameters.items()}
        self._steps = 0

    def step(self, gradients: Mapping[str, Floats], rate: float) -> None:
        """Go one step down the gradients."""
        self._steps += 1
        unbias = np.sqrt(1 - _BETA2**self._steps) / (1 - _BETA1**self._steps)
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            mean += (1 - _BETA1) * (gradient - mean)
            square += (1 - _BETA2) * (gradient * gradient - square)
            array = self._parameters[name]
            if self._decay and array.ndim > 1 and name not in self._spare:
                array *= np.float32(1 - rate * self._decay)
            array -= np.float32(rate * unbias) * mean / (np.sqrt(square) + np.float32(_EPSILON))


def cosine(step: int, steps: int, rate: float) -> float:
    """Return the learning rate of a step, falling from `rate` to nothing."""
    return rate * 0.5 * (1 + float(np.cos(np.pi * step / max(steps, 1))))


def softmax(scores: Floats, allowed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Return probabilities along the last axis, zero where not allowed."""
    masked = np.where(allowed, scores, np.float32(-1e9))
    masked -= masked.max(-1, keepdims=True)
    powers = np.exp(masked)
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
