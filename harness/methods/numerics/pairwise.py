"""Losses on scores X·Yᵀ between positions, a few matrices of scores at a time.

Relations and attention compare tokens × tokens scores of many heads. Holding them all would take batch
× heads × tokens² values a model, several times over; here a group is scored, compared and differentiated
before the next one starts, so that memory is that of one group and of the gradients of X and Y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.methods.numerics.precision import differentiable_where_enabled, wide, without_autocast
from harness.methods.numerics.softmax import log_normaliser

Compare = Callable[[Tensor, Tensor, slice], tuple[Tensor, Tensor]]
"""(teacher scores, student scores), both (matrices, tokens, tokens), and which of all batch · heads matrices
they are -> (0-d sum, its gradient in the student scores). It may overwrite its arguments."""

GROUP_ELEMENTS = {"cpu": 2**17, "cuda": 2**26}
"""Scores of one group: what stays in a core's cache, or keeps a GPU busy."""


def kl_rows(attention_mask: Tensor | None, heads: int, window: int | None = None) -> Compare:
    """KL(softmax teacher ‖ softmax student), mean over real rows and all `heads`, summed over examples.

    Padding columns, and those more than `window` positions away, are masked before the softmax, padding rows dropped
    after it. `attention_mask` (batch, tokens) bool is None where every position is real.
    """
    if attention_mask is not None:
        real = attention_mask.repeat_interleave(heads, dim=0)
        padding = ~real[:, None, :]
        rows_of_head = heads * real.sum(dim=1).clamp_min(1)[:, None, None]

    def compare(teacher: Tensor, student: Tensor, group: slice) -> tuple[Tensor, Tensor]:
        share: Tensor | float = 1 / (heads * teacher.shape[-1])
        if window is not None:
            beyond = _beyond(window, teacher)
            teacher.masked_fill_(beyond, torch.finfo(teacher.dtype).min)
            student.masked_fill_(beyond, torch.finfo(student.dtype).min)
        if attention_mask is not None:
            # The lowest finite number makes softmax exactly 0, as −inf would, and differences free of NaN.
            teacher.masked_fill_(padding[group], torch.finfo(teacher.dtype).min)
            student.masked_fill_(padding[group], torch.finfo(student.dtype).min)
            share = real[group, :, None].to(teacher.dtype) / rows_of_head[group]
        p, q = teacher.softmax(dim=-1), student.softmax(dim=-1)
        normaliser = log_normaliser(student, q) - log_normaliser(teacher, p)
        rows = teacher.sub_(student).mul_(p).sum(dim=-1, keepdim=True).add_(normaliser)
        return (rows * share).sum(), q.sub_(p).mul_(share)

    return compare


def squared_pairs(attention_mask: Tensor | None, heads: int, window: int | None = None) -> Compare:
    """(student − teacher)², mean over `heads`, summed over pairs of real positions at most `window` apart."""
    real = None if attention_mask is None else attention_mask.repeat_interleave(heads, dim=0)

    def compare(teacher: Tensor, student: Tensor, group: slice) -> tuple[Tensor, Tensor]:
        difference = student.sub_(teacher)
        if window is not None:
            difference.masked_fill_(_beyond(window, teacher), 0)
        if real is not None:
            pairs = real[group, :, None] & real[group, None, :]
            difference.masked_fill_(~pairs, 0)
        return difference.square().sum() / heads, difference.mul_(2 / heads)

    return compare


def _beyond(window: int, scores: Tensor) -> Tensor:
    """(tokens, tokens) bool, True at pairs of positions more than `window` apart."""
    places = torch.arange(scores.shape[-1], device=scores.device)
    return (places[:, None] - places).abs() > window


def score_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    heads: int,
    attention_mask: Tensor | None,
    compare: Callable[[Tensor | None, int], Compare],
) -> Tensor:
    """Sum over examples of a loss on scores X·Yᵀ/√d_h, X and Y split into `heads` over their full width.

    `student`, `teacher`: (X, Y), each (batch, tokens, width); `compare`: `kl_rows` or `squared_pairs`.
    Differentiable in the student's X and Y, float32 at least.
    """
    inputs = differentiable_where_enabled(*student)
    loss: Tensor = _ScoreLoss.apply(*inputs, *teacher, heads, attention_mask, compare(attention_mask, heads))
    return loss


class _ScoreLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student_x: Tensor,
        student_y: Tensor,
        teacher_x: Tensor,
        teacher_y: Tensor,
        heads: int,
        mask: Tensor | None,
        compare: Compare,
    ) -> Tensor:
        with without_autocast(student_x):
            sx, sy = _both_by_head(student_x, student_y, heads, mask)
            tx, ty = _both_by_head(teacher_x, teacher_y, heads, mask)
            total = sx.new_zeros(())
            wanted = any(ctx.needs_input_grad[:2])
            grad_x, grad_y = (torch.empty_like(sx), torch.empty_like(sy)) if wanted else (None, None)
            matrices, tokens, width = sx.shape
            size = max(1, GROUP_ELEMENTS.get(sx.device.type, 2**22) // (tokens * tokens))
            for group in (slice(start, start + size) for start in range(0, matrices, size)):
                scores = sx[group] @ sy[group].mT
                loss, gradient = compare(tx[group] @ ty[group].mT, scores, group)
                total += loss
                if grad_x is not None and grad_y is not None:
                    grad_x[group] = (gradient @ sy[group]).mul_(1 / math.sqrt(width))
                    grad_y[group] = gradient.mT @ sx[group]
        if grad_x is not None and grad_y is not None:
            ctx.save_for_backward(_merged(grad_x, student_x, heads), _merged(grad_y, student_y, heads))
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_y = ctx.saved_tensors
        return grad_x * upstream[0], grad_y * upstream[0], None, None, None, None, None


def _both_by_head(x: Tensor, y: Tensor, heads: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """X/√d_h and Y by head; where they are one (as in Q·Qᵀ), it is taken apart once."""
    by_head = _by_head(y, heads, mask)
    x_by_head = by_head if x is y else _by_head(x, heads, mask)
    return x_by_head / math.sqrt(by_head.shape[-1]), by_head


def _by_head(x: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """(batch, tokens, width) -> contiguous (batch · heads, tokens, width / heads), padding set to 0."""
    x = wide(x.detach())
    if mask is not None:
        x = x.masked_fill(~mask[:, :, None], 0)
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).flatten(0, 1)


def _merged(gradient: Tensor, like: Tensor, heads: int) -> Tensor:
    """The inverse of the head split, in `like`'s type."""
    return gradient.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2).to(like.dtype)
