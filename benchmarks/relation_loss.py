"""MiniLMv2's relation loss alone, forward and backward: 8 × 512 tokens, 48 heads, width 768."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.conditions import Conditions, main
from benchmarks.memory import GIB, peak_of
from benchmarks.plain import RELATION_HEADS, relation_kl
from benchmarks.rows import Row
from benchmarks.timing import alternate, faster
from harness.methods.loss import QKV, Activations, Batch
from harness.methods.losses.relations import RelationsLoss
from harness.methods.terms.relations import Relations
from harness.shapes import Shape

NAMES = ("query", "key", "value")


def run(conditions: Conditions) -> Iterator[Row]:
    """Value, gradient, time and memory of the harness's relation loss and of the formula as it stands."""
    ours, theirs = harness_loss(conditions), plain_loss(conditions)
    (value, gradients), (expected, wanted) = ours(), theirs()
    yield _difference("relation loss, difference of the value", [value], [expected])
    yield _difference("relation loss, largest difference of a gradient", gradients, wanted)
    timings = alternate({"harness": ours, "plain": theirs}, conditions)
    yield faster("relation loss and gradient against plain", "harness", "plain", timings, 1.0)
    peaks = {name: peak_of(side, conditions).extra for name, side in SIDES.items()}
    yield Row(
        "relation loss, peak memory beyond its inputs as a share of plain",
        peaks["harness"] / peaks["plain"],
        target=1 / 8,
        sense="at most",
        sides={name: peak / GIB for name, peak in peaks.items()},
        side_unit="GiB",
    )


Loss = Callable[[], tuple[Tensor, list[Tensor]]]
"""Returns (0-d loss, its gradients in the student's query, key and value)."""


def harness_loss(conditions: Conditions) -> Loss:
    """The loss as a method's term computes it."""
    teacher, student, shape = _inputs(conditions)
    term = RelationsLoss(Relations(pairs=("qq", "kk", "vv"), heads=RELATION_HEADS), shape, shape)
    batch = _batch(conditions, teacher[0])
    seen = Activations(qkv={shape.layers: QKV(*teacher)})

    def loss() -> tuple[Tensor, list[Tensor]]:
        mine = Activations(qkv={shape.layers: QKV(*student)})
        value = term(seen, mine, batch) / term.count(batch)
        return value.detach(), list(torch.autograd.grad(value, student))

    return loss


def plain_loss(conditions: Conditions) -> Loss:
    """The formula, written directly."""
    teacher, student, _ = _inputs(conditions)

    def loss() -> tuple[Tensor, list[Tensor]]:
        each = [relation_kl(mine, theirs, None) for mine, theirs in zip(student, teacher, strict=True)]
        value = torch.stack(each).mean()
        return value.detach(), list(torch.autograd.grad(value, student))

    return loss


SIDES = {"harness": harness_loss, "plain": plain_loss}


def _inputs(conditions: Conditions) -> tuple[list[Tensor], list[Tensor], Shape]:
    """Queries, keys and values of both models, (batch, tokens, width) float32, all positions real."""
    shape = conditions.teacher()
    size = (conditions.batch_size, 4 * conditions.length, shape.width)
    draws = torch.Generator().manual_seed(0)
    teacher, student = (
        [torch.randn(size, generator=draws).to(conditions.torch_device) for _ in NAMES] for _ in range(2)
    )
    return teacher, [x.requires_grad_() for x in student], shape


def _batch(conditions: Conditions, like: Tensor) -> Batch:
    ids = torch.zeros(like.shape[:2], dtype=torch.int64, device=like.device)
    return Batch(ids, torch.ones_like(ids, dtype=torch.bool), torch.full_like(ids, -100), padded=False)


def _difference(what: str, found: list[Tensor], expected: list[Tensor]) -> Row:
    """Norm of the difference over the norm of the expected gradient, the largest of all tensors."""
    each = [float((a - b).norm() / b.norm()) for a, b in zip(found, expected, strict=True)]
    return Row(what, max(each), unit="relative", target=1e-5, sense="at most")


if __name__ == "__main__":
    main("relation_loss", run)
