"""Hidden states: student layer i against the teacher layers that its mapping names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from harness.methods.loss import Batch
from harness.methods.losses.layer_pairs import LayerPairLoss, layer_normed, mean_square
from harness.methods.numerics.precision import wide
from harness.methods.numerics.squared_error import squared_error
from harness.methods.terms.hidden_states import HiddenStates


class HiddenStatesLoss(LayerPairLoss):
    """mean((H^S_i W − H^T_j)²) over real tokens and width (HS)."""

    params: HiddenStates

    def rows(self, state: Tensor) -> Tensor:
        """All positions, or each example's first."""
        return state[:, :1] if self.params.tokens == "cls" else state

    def mask(self, batch: Batch) -> Tensor | None:
        """First positions are always real."""
        return None if self.params.tokens == "cls" else super().mask(batch)

    def count(self, batch: Batch) -> int:
        """Real tokens, or examples where only first positions are compared."""
        return batch.examples if self.params.tokens == "cls" else batch.tokens

    def read(self, state: Tensor) -> Tensor:
        """The state, normalised as asked."""
        if self.params.normalize == "none":
            return state
        state = wide(state)
        return functional.normalize(state, dim=-1) if self.params.normalize == "l2" else layer_normed(state)

    def distance(
        self, x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
    ) -> Tensor:
        """Squared error, mean over width."""
        return squared_error(x, targets, weights, mask) / x.shape[-1]

    def comparable(self, state: Tensor) -> Tensor:
        """Divided by √d_T."""
        return mean_square(state)
