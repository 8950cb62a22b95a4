"""Random activations and batches, as two models might leave them: no model is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from harness.methods.loss import QKV, Activations, Batch, TermLoss
from harness.methods.objective import build_objective
from harness.methods.terms import (
    AttentionProbs,
    AttentionScores,
    Cosine,
    Embeddings,
    HiddenStates,
    Logits,
    Mlm,
    Qkv,
    Relations,
    TermParams,
)
from harness.shapes import Shape

VOCABULARY = 19
TEACHER = Shape(4, 12, 2, 24, VOCABULARY, "bert", mlm_head=True)
NARROW = Shape(2, 8, 2, 16, VOCABULARY, "bert", mlm_head=False)


def hidden_states(**options: object) -> HiddenStates:
    """The term with options as YAML would give them."""
    return HiddenStates.model_validate(options)


EVERY_TERM: dict[str, TermParams] = {
    "logits": Logits(temperature=2.0, positions="all"),
    "logits-masked": Logits(),
    "mlm": Mlm(),
    "hs-uniform": hidden_states(mapping="uniform"),
    "hs-closed": hidden_states(mapping={"name": "uniform_consecutive"}, projection="per_pair", bias=True),
    "hs-sum": hidden_states(mapping="uniform_last", projection="shared_linear", reduce="sum"),
    "hs-cls-l2": hidden_states(mapping="last_k", tokens="cls", normalize="l2"),
    "hs-layer-norm": hidden_states(mapping="reverse", normalize="layer_norm"),
    "hs-emd": hidden_states(mapping="emd"),
    "hs-greedy": hidden_states(mapping="greedy"),
    "hs-attention": hidden_states(mapping="attention"),
    "hs-random": hidden_states(mapping="random"),
    "cosine": Cosine(projection="linear"),
    "cosine-emd": Cosine.model_validate({"mapping": "emd", "projection": "linear"}),
    "relations": Relations(heads=4),
    "relations-crossed": Relations(pairs=("qk", "vq"), heads=2, teacher_layer=2, student_layer=1),
    "qkv": Qkv(heads=4),
    "qkv-whole": Qkv(heads="whole"),
    "attention_probs": AttentionProbs(),
    "attention_scores": AttentionScores(reduce="sum"),
    "embeddings": Embeddings(),
}
"""One use of every term, with its main options, that suits TEACHER and NARROW."""


class RandomHead:
    """A masked-LM head whose transform is a matrix."""

    def __init__(self, shape: Shape, draw: Callable[..., Tensor]) -> None:
        self.inner = draw(shape.width, shape.width)
        self.weight = draw(shape.vocabulary, shape.width)
        self.bias = draw(shape.vocabulary)

    def transform(self, hidden: Tensor) -> Tensor:
        """tanh of the product."""
        return torch.tanh(hidden @ self.inner)


def activations(
    shape: Shape,
    rows: int,
    tokens: int,
    seed: int = 0,
    grad: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Activations:
    """Normal random states and projections of every layer, and a head; leaves that may collect gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(grad)

    def state() -> Tensor:
        return draw(rows, tokens, shape.width)

    return Activations(
        hidden={layer: state() for layer in range(shape.layers + 1)},
        qkv={layer: QKV(state(), state(), state()) for layer in range(1, shape.layers + 1)},
        mlm=RandomHead(shape, draw),
        heads=shape.heads,
        layers=shape.layers,
    )


def leaves(model: Activations) -> dict[str, Tensor]:
    """Every tensor of the activations under a name."""
    found = {f"hidden {layer}": state for layer, state in model.hidden.items()}
    for layer, qkv in model.qkv.items():
        found |= {f"query {layer}": qkv.query, f"key {layer}": qkv.key, f"value {layer}": qkv.value}
    assert isinstance(model.mlm, RandomHead)
    return found | {
        "head inner": model.mlm.inner,
        "head weight": model.mlm.weight,
        "head bias": model.mlm.bias,
    }


def batch(lengths: list[int], tokens: int, seed: int = 0, masked: float = 0.4) -> Batch:
    """Rows of the given real lengths; about `masked` of the real ones have a label, one a row at least."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (len(lengths), tokens), generator=generator)
    real = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    chosen = torch.rand(ids.shape, generator=generator) < masked
    chosen[:, 0] = True
    return Batch(ids, real, torch.where(chosen & real, ids, -100), padded=bool((~real).any()))


def rows_of(model: Activations, index: Tensor | slice) -> Activations:
    """The activations of some rows of the batch."""
    return replace(
        model,
        hidden={layer: state[index] for layer, state in model.hidden.items()},
        qkv={n: QKV(x.query[index], x.key[index], x.value[index]) for n, x in model.qkv.items()},
    )


def batch_rows(whole: Batch, index: Tensor | slice) -> Batch:
    """Some rows of a batch."""
    return Batch(whole.input_ids[index], whole.attention_mask[index], whole.labels[index], whole.padded)


def mean_loss(
    params: TermParams, teacher: Activations, student: Activations, of: Batch
) -> tuple[Tensor, TermLoss]:
    """The term's loss on a batch, and the term, with projections drawn at random."""
    objective = build_objective((params,), TEACHER, NARROW, torch.Generator().manual_seed(0)).double()
    (term,) = objective.terms.values()
    assert isinstance(term, TermLoss)
    return term(teacher, student, of) / term.count(of), term


def pair_of_models() -> tuple[Activations, Activations, Batch]:
    """Teacher, student and a batch of three rows, two of them padded."""
    return activations(TEACHER, 3, 6, seed=1), activations(NARROW, 3, 6, seed=2), batch([6, 4, 1], 6)
