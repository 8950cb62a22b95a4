"""Attention as a peer compares it: our terms, and the peer's quirks on top of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.loss import Activations
from harness.methods.losses.attention import AttentionProbsLoss, AttentionScoresLoss
from harness.methods.terms import AttentionProbs, AttentionScores

from .adapters import assert_gradients, batch_of, double_inputs, entropy_of, mean, scores_as_qkv, shape
from .cases import GoldenCase

THRESHOLD = -1e-3
"""Raw scores at or below it are masked, says the peer where no mask is given."""


def _attention(case: GoldenCase) -> tuple[Tensor, Tensor, Tensor | None]:
    tensors = double_inputs(case, "student_attention")
    return tensors["student_attention"], tensors["teacher_attention"], tensors.get("attention_mask")


def _scores_loss(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    size = shape(width=student.shape[1] * student.shape[2], heads=student.shape[1])
    term = AttentionScoresLoss(AttentionScores(), size, size)
    mine, theirs = (Activations(qkv={1: scores_as_qkv(scores)}) for scores in (student, teacher))
    return mean(term, theirs, mine, batch_of(mask, student[:, 0]))


def _probs_sum(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
    """Sum over examples of the KL, mean over heads and real rows."""
    size = shape(width=student.shape[1] * student.shape[2], heads=student.shape[1])
    term = AttentionProbsLoss(AttentionProbs(), size, size)
    mine, theirs = (Activations(qkv={1: scores_as_qkv(scores)}) for scores in (student, teacher))
    return term(theirs, mine, batch_of(mask, student[:, 0]))


@pytest.mark.golden("attention-mse")
def test_squared_attention_scores(golden_case: GoldenCase) -> None:
    student, teacher, mask = _attention(golden_case)
    expected = golden_case.expected

    def kept(scores: Tensor) -> Tensor:
        """The peer's quirk: without a mask, low scores count as masked and become 0."""
        return scores if mask is not None else torch.where(scores <= THRESHOLD, 0.0, scores)

    loss = _scores_loss(kept(student), kept(teacher), mask)
    golden_case.assert_scalar(loss.item(), expected["loss"], "loss")
    assert_gradients(golden_case, loss, {"student_attention": student})
    if "plain_loss_without_threshold" in expected:
        plain = _scores_loss(student, teacher, mask)
        golden_case.assert_scalar(plain.item(), expected["plain_loss_without_threshold"], "plain loss")


@pytest.mark.golden("attention-ce")
def test_attention_cross_entropy_is_our_kl_and_the_teachersentropy_of(golden_case: GoldenCase) -> None:
    student, teacher, mask = _attention(golden_case)
    expected = golden_case.expected
    if mask is None:
        kl = _probs_sum(student, teacher, None) / len(student)
        loss = kl + entropy_of(teacher).mean()
        golden_case.assert_scalar(loss.item(), expected["plain_loss_without_threshold"], "plain loss")
        return
    # The peer divides by all real tokens; ours are means per example, so each example comes with its length.
    kl, entropy = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for x, t, m in zip(student, teacher, mask.bool(), strict=True):
        kl = kl + m.sum() * _probs_sum(x[None], t[None], m[None])
        entropy = entropy + entropy_of(t[:, m][:, :, m]).mean(dim=0).sum()
    total = mask.sum()
    golden_case.assert_scalar(
        (kl / total).item(), expected["alternative_kl_softmax_over_real_keys_only"], "KL"
    )
    golden_case.assert_scalar(
        ((kl + entropy) / total).item(), expected["alternative_ce_softmax_over_real_keys_only"], "CE"
    )


@pytest.mark.golden("attention-ce")
def test_attention_cross_entropy_with_the_peers_quirks(golden_case: GoldenCase) -> None:
    """The peer zeroes teacher probabilities (padded keys, or low scores without a mask) after a softmax over
    the full width and does not renormalise. A row's target then has mass m < 1, and its cross entropy is m
    times our KL to the renormalised target, plus a constant: each row goes through our term alone.
    """
    student, teacher, mask = _attention(golden_case)
    batch, heads, tokens, _ = student.shape
    real = torch.ones(batch, tokens, dtype=torch.bool) if mask is None else mask.bool()
    loss = torch.zeros((), dtype=torch.float64)
    for b in range(batch):
        for a in range(heads):
            for i in real[b].nonzero().flatten().tolist():
                kept = real[b] if mask is not None else teacher[b, a, i] > THRESHOLD
                if kept.any():
                    loss = loss + _cut_row(student[b, a, i], teacher[b, a, i], kept)
    loss = loss / (heads * real.sum())
    golden_case.assert_scalar(loss.item(), golden_case.expected["loss"], "loss")
    assert_gradients(golden_case, loss, {"student_attention": student})


def _cut_row(student: Tensor, teacher: Tensor, kept: Tensor) -> Tensor:
    """−Σ_{j kept} p_j log q_j of one row of scores, (tokens,) each."""
    p = functional.softmax(teacher, dim=-1)[kept]
    mass = p.sum()
    cut = teacher.masked_fill(~kept, -1e9)

    def square(row: Tensor) -> Tensor:
        """One example of one head, all of whose rows are this one."""
        return row.expand(1, 1, len(row), len(row))

    kl = _probs_sum(square(student), square(cut), None)
    return mass * kl - (p * (p / mass).log()).sum()
