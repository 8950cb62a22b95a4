"""The angle between hidden states (DistilBERT)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.losses.layer_pairs import LayerPairLoss
from harness.methods.numerics.precision import wide, without_autocast
from harness.methods.terms.cosine import Cosine


class CosineLoss(LayerPairLoss):
    """1 − cos(H^S_i W, H^T_j), mean over real tokens (DistilBERT, Sanh et al., 2019)."""

    params: Cosine

    def distance(
        self, x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
    ) -> Tensor:
        """One minus the cosine."""
        with without_autocast(x):
            losses = []
            for target, weight in zip(targets, weights, strict=True):
                loss = 1 - functional.cosine_similarity(wide(x), wide(target), dim=-1)
                losses.append((loss if mask is None else loss.masked_fill(~mask, 0)).sum() * weight)
            return torch.stack(losses).sum()

    def comparable(self, state: Tensor) -> Tensor:
        """Unit vectors over √2: ‖x − t‖² = 2(1 − cos) for unit vectors."""
        return functional.normalize(state, dim=-1) / math.sqrt(2)

    def target(self, state: Tensor) -> Tensor:
        """The direction: a least-squares fit to it is close to the best cosine, which has no closed form."""
        return functional.normalize(wide(state), dim=-1)
