"""What indexers learn by: the divergence from the dense attention, in both stages of training.

The mathematics is `reference.index_loss`; here it is a torch loss with gradients by autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor


def index_loss(scores_TS: Tensor, teacher_TS: Tensor, may_TS: Tensor) -> Tensor:
    """Return KL(teacher ‖ softmax(scores)) over what `may_TS` allows, the queries' mean.

    Pass all earlier tokens for the dense warm-up, the selected ones for the sparse stage.
    """
    kept = teacher_TS.masked_fill(~may_TS, 0.0)
    p = kept / kept.sum(-1, keepdim=True)
    guess = scores_TS.masked_fill(~may_TS, -torch.inf).log_softmax(-1)
    difference = torch.where(p > 0, p * (p.clamp_min(1e-30).log() - guess), 0.0)
    return difference.sum(-1).mean()
