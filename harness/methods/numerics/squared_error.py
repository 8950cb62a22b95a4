"""Weighted squared distance of one state to several targets, without keeping a difference for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.methods.numerics.precision import differentiable_where_enabled, wide, without_autocast


def squared_error(
    x: Tensor, targets: Sequence[Tensor], weights: Sequence[float], mask: Tensor | None
) -> Tensor:
    """Σ_j w_j Σ (x − target_j)² over real positions and width; differentiable in x, float32 at least.

    x and each target (batch, tokens, width); mask (batch, tokens) bool, None where every position is real.
    """
    loss: Tensor = _SquaredError.apply(*differentiable_where_enabled(x), tuple(weights), mask, *targets)
    return loss


class _SquaredError(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weights: tuple[float, ...], mask: Tensor | None, *targets: Tensor
    ) -> Tensor:
        with without_autocast(x):
            state = wide(x)
            total = state.new_zeros(())
            gradient: Tensor | None = None
            for weight, target in zip(weights, targets, strict=True):
                difference = state - target
                if mask is not None:
                    difference.masked_fill_(~mask[:, :, None], 0)
                total += difference.square().sum() * weight
                if ctx.needs_input_grad[0]:
                    scaled = difference.mul_(2 * weight)
                    gradient = scaled if gradient is None else gradient.add_(scaled)
        if gradient is not None:
            ctx.save_for_backward(gradient.to(x.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream[0]).to(gradient.dtype), *[None] * (len(ctx.needs_input_grad) - 1)
