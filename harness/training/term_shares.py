"""Each term's share of a student's loss and of the gradient that reaches the student, measured now and then.

A method is a sum of terms, and a term whose gradient is a hundredth of the others' changes nothing: the method
then has the name of one and does the work of another. What is measured here never changes what is trained: a
few rows of the batch go through the student once more, and gradients are taken beside those of the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from harness.attempts.figures import TermShares
from harness.records.result import DEAD_TERM

POINTS = 10
"""Measurements in a run: before its first step and at each tenth of it."""
LEAST_STEPS_APART = 100
"""Closer together they would cost more than 2 % of a short run."""
SHARE_OF_ROWS, LEAST_ROWS = 8, 2
"""An eighth of the batch's rows is measured on, two rows at least: one may hold no corrupted position."""


def measured_steps(steps: int, terms: int) -> range:
    """The 0-based steps before which shares are taken; none where one term has everything."""
    apart = max(math.ceil(steps / POINTS), LEAST_STEPS_APART)
    return range(0, max(steps - apart + 1, min(steps, 1)) if terms > 1 else 0, apart)


def measured_rows(examples: int) -> int:
    """How many rows of a batch are measured on."""
    return min(examples, max(LEAST_ROWS, examples // SHARE_OF_ROWS))


def term_shares(step: int, weighted: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> TermShares | None:
    """Shares of the `weighted` losses (0-d, with their graphs) in sum and in gradient of `parameters`.

    Nothing is added to `.grad`. None where a loss or a norm is not finite, or all are 0."""
    losses = _shares({name: float(loss.detach()) for name, loss in weighted.items()})
    norms = _shares({name: _gradient_norm(loss, parameters) for name, loss in weighted.items()})
    return TermShares(step, losses, norms) if losses and norms else None


def _gradient_norm(loss: Tensor, parameters: Sequence[Tensor]) -> float:
    if not loss.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return float(torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None]))


def _shares(parts: Mapping[str, float]) -> dict[str, float]:
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()} if 0 < whole < math.inf else {}


def dead_terms(shares: Iterable[TermShares]) -> tuple[str, ...]:
    """Flags `dead_term:<name>` of terms whose share of the gradient was below `DEAD_TERM` at every measured step."""
    measured = list(shares)
    names = measured[0].gradient if measured else ()
    return tuple(
        f"dead_term:{name}" for name in names if all(share.gradient[name] < DEAD_TERM for share in measured)
    )
