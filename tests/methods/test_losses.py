"""Functions that make gradients with their values: against finite differences and plain PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.numerics import linear_loss, pairwise
from harness.methods.numerics.linear_loss import cross_entropy, distribution_kl
from harness.methods.numerics.pairwise import kl_rows, score_loss, squared_pairs
from harness.methods.numerics.squared_error import squared_error

LENGTHS = torch.tensor([5, 3, 1])
MASK = torch.arange(5) < LENGTHS[:, None]


def normal(*size: int, seed: int = 0, grad: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64).requires_grad_(grad)


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """One relation head, and three rows of logits, at a time: the loops run more than once."""
    monkeypatch.setitem(pairwise.GROUP_ELEMENTS, "cpu", 1)
    monkeypatch.setitem(linear_loss.CHUNK_ELEMENTS, "cpu", 3 * 11)


def plain_scores(x: Tensor, y: Tensor, heads: int) -> Tensor:
    """(batch, heads, tokens, tokens)."""
    x, y = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (x, y))
    return x @ y.mT / x.shape[-1] ** 0.5


def plain_kl(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """Each example sliced to its real length, by PyTorch's own KL."""
    total = student.new_zeros(())
    for s, t, n in zip(student, teacher, lengths.tolist(), strict=True):
        s, t = (scores[:, :n, :n].log_softmax(-1) for scores in (s, t))
        total = total + functional.kl_div(s, t, reduction="sum", log_target=True) / (len(s) * n)
    return total


@pytest.mark.parametrize("padded", [True, False])
def test_relation_kl_equals_pytorchs_on_sliced_examples(padded: bool) -> None:
    x, y = normal(3, 5, 8, seed=1), normal(3, 5, 8, seed=2)
    tx, ty = normal(3, 5, 12, seed=3, grad=False), normal(3, 5, 12, seed=4, grad=False)
    lengths = LENGTHS if padded else torch.tensor([5, 5, 5])
    ours = score_loss((x, y), (tx, ty), 4, MASK if padded else None, kl_rows)
    plain = plain_kl(plain_scores(x, y, 4), plain_scores(tx, ty, 4), lengths)
    torch.testing.assert_close(ours, plain)
    for got, want in zip(*(torch.autograd.grad(loss, (x, y)) for loss in (ours, plain)), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("compare", [kl_rows, squared_pairs])
@pytest.mark.parametrize("mask", [MASK, None])
def test_gradients_of_score_losses_are_those_of_finite_differences(compare, mask) -> None:
    teacher = normal(3, 5, 12, seed=3, grad=False), normal(3, 5, 12, seed=4, grad=False)
    inputs = normal(3, 5, 8, seed=1), normal(3, 5, 8, seed=2)
    assert torch.autograd.gradcheck(lambda x, y: score_loss((x, y), teacher, 2, mask, compare), inputs)
    assert torch.autograd.gradcheck(lambda x: score_loss((x, x), teacher, 2, mask, compare), inputs[:1])


def test_squared_scores_equal_pytorchs() -> None:
    x, y, tx, ty = (normal(3, 5, 8, seed=seed) for seed in range(4))
    difference = plain_scores(x, y, 2) - plain_scores(tx, ty, 2)
    real = (MASK[:, None, :, None] & MASK[:, None, None, :]).expand_as(difference)
    ours = score_loss((x, y), (tx, ty), 2, MASK, squared_pairs)
    torch.testing.assert_close(ours, difference[real].square().sum() / 2)


@pytest.mark.parametrize("rows", [7, 1])
def test_gradients_of_chunked_logit_losses_are_those_of_finite_differences(rows: int) -> None:
    inputs = normal(rows, 4, seed=1), normal(11, 4, seed=2), normal(11, seed=3)
    teacher = normal(rows, 6, seed=4, grad=False), normal(11, 6, seed=5, grad=False), normal(11, grad=False)
    labels = torch.arange(rows) % 11
    for row_loss in (distribution_kl(*teacher, temperature=2.0, scale=4.0), cross_entropy(labels)):
        assert torch.autograd.gradcheck(
            lambda x, w, b, row_loss=row_loss: linear_loss.linear_loss(x, w, b, row_loss), inputs
        )


def test_chunked_logit_losses_equal_pytorchs() -> None:
    x, w, b = normal(7, 4, seed=1), normal(11, 4, seed=2), normal(11, seed=3)
    tx, tw, tb = normal(7, 6, seed=4), normal(11, 6, seed=5), normal(11, seed=6)
    labels = torch.randint(0, 11, (7,), generator=torch.Generator().manual_seed(0))
    logits, teacher = functional.linear(x, w, b), functional.linear(tx, tw, tb).detach()
    plain = functional.kl_div((logits / 3).log_softmax(-1), (teacher / 3).softmax(-1), reduction="sum")
    ours = linear_loss.linear_loss(x, w, b, distribution_kl(tx, tw, tb, temperature=3.0, scale=9.0))
    torch.testing.assert_close(ours, 9 * plain)
    for got, want in zip(*(torch.autograd.grad(z, (x, w, b)) for z in (ours, 9 * plain)), strict=True):
        torch.testing.assert_close(got, want)
    ours = linear_loss.linear_loss(x, w, b, cross_entropy(labels))
    torch.testing.assert_close(ours, functional.cross_entropy(logits, labels, reduction="sum"))


def test_no_chosen_position_gives_zero_and_zero_gradients() -> None:
    x, w, b = normal(0, 4), normal(11, 4), normal(11)
    loss = linear_loss.linear_loss(x, w, b, cross_entropy(torch.zeros(0, dtype=torch.int64)))
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, (x, w, b)))


@pytest.mark.parametrize("mask", [MASK, None])
def test_gradients_of_squared_error_are_those_of_finite_differences(mask: Tensor | None) -> None:
    x, targets = normal(3, 5, 4), [normal(3, 5, 4, seed=seed, grad=False) for seed in (1, 2)]
    assert torch.autograd.gradcheck(lambda x: squared_error(x, targets, [0.3, 2.0], mask), (x,))


def test_under_autocast_losses_are_float32_and_near_the_exact_ones() -> None:
    x, y, tx, ty = (normal(3, 5, 8, seed=seed) for seed in range(4))
    exact = score_loss((x, y), (tx, ty), 4, MASK, kl_rows)
    narrow = [part.detach().bfloat16().requires_grad_() for part in (x, y, tx, ty)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = score_loss((narrow[0], narrow[1]), (narrow[2], narrow[3]), 4, MASK, kl_rows)
    loss.backward()
    assert loss.dtype == torch.float32
    assert narrow[0].grad is not None
    assert narrow[0].grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), exact, rtol=0.05, atol=0.0)


def test_nothing_is_differentiated_where_gradients_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(3, 5, 8, seed=1), normal(3, 5, 8, seed=2)
    with torch.no_grad():
        assert not score_loss((x, y), (x, y), 4, MASK, kl_rows).requires_grad
        assert not squared_error(x, [y], [1.0], MASK).requires_grad
