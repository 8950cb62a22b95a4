"""What methods leave untrained, by the gradients of real tiny models."""

from __future__ import annotations

import pytest
import torch
from models.tiny import make_batch, tiny_model

from harness.methods.loss import Batch
from harness.methods.objective import build_objective
from harness.methods.terms import AttentionScores, Embeddings, Relations, TermParams
from harness.models.taps import Tapped
from harness.shapes import Shape
from harness.trials.untrained import untrained_parts

from .test_shipped import METHODS

SHAPES = tuple(Shape(layers, 48, 12, 48, 40, "bert", mlm_head=True) for layers in (4, 2))


def without_gradient(objective: tuple[TermParams, ...]) -> set[str]:
    """Parts of a 2-layer student of a 4-layer teacher that get no gradient from one backward pass."""
    teacher, student = (
        tiny_model("bert", seed=s.layers, layers=s.layers, width=48, heads=12) for s in SHAPES
    )
    whole = make_batch(rows=2, tokens=8, lengths=(8, 5))
    labels = torch.where(whole.attention_mask & (torch.arange(8) % 3 == 1), whole.input_ids, -100)
    batch = Batch(whole.input_ids, whole.attention_mask, labels, padded=True)
    terms = build_objective(objective, *SHAPES, torch.Generator().manual_seed(0))
    seen = (
        Tapped(teacher, terms.teacher_needs, frozen=True)(batch),
        Tapped(student, terms.student_needs)(batch),
    )
    terms.loss(terms(*seen, batch), terms.counts(batch))[0].backward()
    named = student.named_parameters(remove_duplicate=False)
    return set(untrained_parts(student, {name for name, one in named if one.grad is None}))


HEAD = {"cls.predictions.bias", "cls.predictions.transform", "cls.predictions.decoder.bias"}
"""The masked-LM head, whose matrix is the word embeddings."""


def above(layer: int, *more: str) -> set[str]:
    """Of a layer whose projections are read: what comes after them, and those that are not."""
    prefix = f"bert.encoder.layer.{layer - 1}"
    blocks = ("attention.output", "intermediate", "output", *(f"attention.self.{name}" for name in more))
    return {f"{prefix}.{block}" for block in blocks}


LEFT = {
    **{name: set() if m.trains_mlm_head else HEAD for name, m in METHODS.items() if m.objective},
    **{name: HEAD | above(2) for name in ("minilmv2", "direct-minilm", "minilm")},
    "hs-skip": HEAD | {"bert.encoder.layer.1"},
}
"""Shipped method -> the parts that it leaves untrained."""


@pytest.mark.parametrize("name", LEFT)
def test_shipped_methods_leave_untrained_what_the_documents_say(name: str) -> None:
    assert without_gradient(METHODS[name].objective) == LEFT[name]


@pytest.mark.parametrize(
    ("term", "left"),
    [
        (Embeddings(), {"bert.encoder"}),
        (AttentionScores(), above(2, "value")),
        (Relations(student_layer=1, pairs=("qk",)), {*above(1, "value"), "bert.encoder.layer.1"}),
    ],
    ids=lambda value: value.term if isinstance(value, TermParams) else "",
)
def test_terms_leave_untrained_what_they_do_not_read(term: TermParams, left: set[str]) -> None:
    assert without_gradient((term,)) == HEAD | left
