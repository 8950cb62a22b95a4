"""Losses on logits that are never held whole: value and gradients of features · Wᵀ + b, a few rows at a time.

A vocabulary of 250,000 entries makes one row of float32 logits a megabyte. Rows are taken in chunks; each
chunk's logits are made, compared, turned into gradients of features, W and b, and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.numerics.precision import (
    compute_dtype,
    differentiable_where_enabled,
    wide,
    without_autocast,
)
from harness.methods.numerics.softmax import log_normaliser

RowLoss = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
"""(logits of a chunk (rows, vocabulary), which rows) -> (0-d sum, its gradient). May overwrite the logits."""

CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**26}
"""Logits held at a time (float32: 64 MiB on a CPU, 256 MiB on a GPU); fewer would go over W more often."""

GROUP_ELEMENTS = {"cpu": 2**17, "cuda": 2**26}
"""Logits compared at a time: on a CPU what stays in a core's cache from the first pass over it to the last."""


def distribution_kl(
    features: Tensor, weight: Tensor, bias: Tensor, temperature: float, scale: float
) -> RowLoss:
    """scale · KL(softmax(z_T/t) ‖ softmax(z_S/t)), the teacher's z_T = features · weightᵀ + bias."""
    dtype = compute_dtype(features)
    features, weight, bias = features.detach().to(dtype), weight.detach().to(dtype), bias.detach().to(dtype)
    slope = scale / temperature

    def row_loss(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        teacher = wide(functional.linear(features[rows], weight, bias))
        loss = logits.new_zeros(())
        for group in _groups(logits):
            z_t, z_s = teacher[group], logits[group]
            if temperature != 1:
                z_t, z_s = z_t.div_(temperature), z_s.div_(temperature)
            p, q = z_t.softmax(dim=-1), z_s.softmax(dim=-1)
            loss += (log_normaliser(z_s, q) - log_normaliser(z_t, p)).sum()
            loss += torch.dot(p.flatten(), z_t.sub_(z_s).flatten())
            torch.sub(q, p, out=logits[group])
            if slope != 1:
                logits[group].mul_(slope)
        return loss * scale, logits

    return row_loss


def cross_entropy(labels: Tensor) -> RowLoss:
    """−log softmax(z)[label], labels (rows,) int64."""

    def row_loss(logits: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        target = labels[rows, None]
        loss = -logits.gather(-1, target).sum()
        for group in _groups(logits):
            q = logits[group].softmax(dim=-1)
            loss += log_normaliser(logits[group], q).sum()
            logits[group].copy_(q)
        return loss, logits.scatter_add_(-1, target, logits.new_full(target.shape, -1.0))

    return row_loss


def _groups(logits: Tensor) -> Iterator[slice]:
    """Slices of whole rows that together cover `logits`."""
    elements = GROUP_ELEMENTS.get(logits.device.type, 2**17) * (
        torch.get_num_threads() if logits.device.type == "cpu" else 1
    )
    size = max(1, elements // logits.shape[-1])
    return (slice(start, start + size) for start in range(0, logits.shape[0], size))


def linear_loss(features: Tensor, weight: Tensor, bias: Tensor, row_loss: RowLoss) -> Tensor:
    """Sum of `row_loss` over rows of features · weightᵀ + bias; differentiable in all three.

    features (rows, width), weight (vocabulary, width), bias (vocabulary,). No rows give 0.
    """
    inputs = differentiable_where_enabled(features, weight, bias)
    loss: Tensor = _LinearLoss.apply(*inputs, row_loss)
    return loss


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, row_loss: RowLoss) -> Tensor:
        dtype = compute_dtype(features)
        with without_autocast(features):
            x, w, b = features.to(dtype), weight.to(dtype), bias.to(dtype)
            wants = ctx.needs_input_grad
            grad_x = torch.empty_like(x) if wants[0] else None
            grad_w: Tensor | None = None
            grad_b = torch.zeros_like(bias) if wants[2] else None
            total = wide(x).new_zeros(())
            size = max(1, CHUNK_ELEMENTS.get(x.device.type, 2**24) // w.shape[0])
            for rows in (slice(start, start + size) for start in range(0, x.shape[0], size)):
                loss, gradient = row_loss(wide(functional.linear(x[rows], w, b)), rows)
                total += loss
                if grad_b is not None:
                    grad_b += gradient.sum(dim=0)
                gradient = gradient.to(dtype)
                if grad_x is not None:
                    grad_x[rows] = gradient @ w
                if not wants[1]:
                    continue
                if grad_w is None:
                    grad_w = (gradient.mT @ x[rows]).to(weight.dtype)
                elif grad_w.dtype == dtype:
                    grad_w.addmm_(gradient.mT, x[rows])
                else:
                    grad_w += gradient.mT @ x[rows]
            if wants[1] and grad_w is None:
                grad_w = torch.zeros_like(weight)
        ctx.save_for_backward(None if grad_x is None else grad_x.to(features.dtype), grad_w, grad_b)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients = (None if g is None else (g * upstream[0]).to(g.dtype) for g in ctx.saved_tensors)
        return (*gradients, None)
