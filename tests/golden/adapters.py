"""From a golden case's tensors to what a term is given: activations and batches in float64."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from harness.methods.loss import QKV, Activations, Batch, TermLoss
from harness.shapes import Shape

from .cases import GoldenCase


class IdentityHead:
    """A masked-LM head that leaves its input as it is, so that hidden states are logits."""

    def __init__(self, vocabulary: int) -> None:
        self.weight = torch.eye(vocabulary, dtype=torch.float64)
        self.bias = torch.zeros(vocabulary, dtype=torch.float64)

    def transform(self, hidden: Tensor) -> Tensor:
        """The input."""
        return hidden


def leaf(tensor: Tensor) -> Tensor:
    """A float64 copy that collects a gradient."""
    return tensor.double().requires_grad_()


def shape(width: int = 1, layers: int = 1, heads: int = 1, vocabulary: int = 1) -> Shape:
    """A model's size where only these matter."""
    return Shape(layers, width, heads, 1, vocabulary, "bert", mlm_head=True)


def batch_of(mask: Tensor | None, like: Tensor, labels: Tensor | None = None) -> Batch:
    """A batch of `like`'s (batch, tokens); without a mask every position is real."""
    size = like.shape[:2]
    real = torch.ones(size, dtype=torch.bool) if mask is None else mask.bool()
    nothing = torch.full(size, -100)
    return Batch(
        torch.zeros(size, dtype=torch.int64), real, nothing if labels is None else labels, mask is not None
    )


def one_layer(tensors: dict[str, Tensor], prefix: str) -> Activations:
    """Activations whose layer 1 has the case's `<prefix>_q`, `_k`, `_v`."""
    return Activations(qkv={1: QKV(*(tensors[f"{prefix}_{name}"] for name in "qkv"))}, layers=1)


def predictions(logits: Tensor) -> Activations:
    """Activations of a one-layer model that predicts these logits, (batch, tokens, vocabulary)."""
    return Activations(hidden={1: logits}, mlm=IdentityHead(logits.shape[-1]), layers=1)


def scores_as_qkv(scores: Tensor) -> QKV:
    """Projections with these scores (batch, heads, tokens, tokens) as Q·Kᵀ/√d_h: d_h = tokens, K = √d_h·I."""
    batch, heads, tokens, _ = scores.shape
    key = torch.eye(tokens, dtype=scores.dtype).repeat(1, heads) * tokens**0.5
    key = key.expand(batch, -1, -1)
    return QKV(scores.transpose(1, 2).flatten(2), key, key)


def mean(term: TermLoss, teacher: Activations, student: Activations, batch: Batch) -> Tensor:
    """The term's loss: its sum over its count."""
    return term(teacher, student, batch) / term.count(batch)


def entropy_of(scores: Tensor) -> Tensor:
    """Entropy of softmax over the last dimension: what cross entropy has over KL."""
    return functional.softmax(scores, dim=-1).mul(functional.log_softmax(scores, dim=-1)).sum(dim=-1).neg()


def double_inputs(case: GoldenCase, *leaves: str) -> dict[str, Tensor]:
    """The case's inputs in float64 (indices and masks as they are); the named ones collect gradients."""
    tensors = {name: x for name, x in case.tensors().items() if not name.startswith("expected.")}
    return {
        name: leaf(x) if name in leaves else x.double() if x.is_floating_point() else x
        for name, x in tensors.items()
    }


def assert_gradients(case: GoldenCase, loss: Tensor, leaves: dict[str, Tensor]) -> None:
    """The gradients of `loss` are the case's `expected.grad_<name>`."""
    expected = case.tensors()
    gradients = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True)
    for (name, _), gradient in zip(leaves.items(), gradients, strict=True):
        case.assert_tensor(gradient, expected[f"expected.grad_{name}"], f"gradient of {name}")
