"""The log-normaliser of scores whose softmax is known."""

from __future__ import annotations

from torch import Tensor


def log_normaliser(scores: Tensor, probabilities: Tensor) -> Tensor:
    """log Σ exp(scores) over the last dimension, (..., 1), without another pass of exponentials.

    Any entry gives it as score − log probability; the largest cannot have underflowed.
    """
    return scores.amax(dim=-1, keepdim=True) - probabilities.amax(dim=-1, keepdim=True).log()
