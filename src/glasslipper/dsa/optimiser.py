"""Muon: momentum whose steps are made orthogonal, for the matrices of an indexer.

Source: K. Jordan and others, "Muon: an optimizer for hidden layers in neural networks" (2024),
with its quintic Newton-Schulz iteration. In a few hundred steps it brings indexers where Adam
needs thousands. Knows nothing of what it optimises.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


def orthogonal(x: Tensor) -> Tensor:
    """Return a matrix with about the singular vectors of `x` and singular values about one."""
    is_tall = x.shape[0] > x.shape[1]
    y = (x.T if is_tall else x) / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = y @ y.T
        y = _A * y + (_B * gram + _C * gram @ gram) @ y
    return y.T if is_tall else y


class Muon:
    """Steps for a few matrices, given their gradients."""

    def __init__(self, matrices: Sequence[Tensor], *, momentum: float = 0.9) -> None:
        """Take the matrices to change."""
        self._matrices = matrices
        self._momentum = momentum
        self._velocity = [torch.zeros_like(matrix) for matrix in matrices]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each matrix against its gradient, which is then forgotten."""
        for matrix, velocity in zip(self._matrices, self._velocity, strict=True):
            gradient = matrix.grad
            if gradient is None:
                continue
            velocity.mul_(self._momentum).add_(gradient)
            way = orthogonal(gradient + self._momentum * velocity)
            stretch = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
            matrix.add_(way, alpha=-rate * stretch)
            matrix.grad = None
