"""What each shipped method leaves untrained, against the gradients of real tiny models of every family."""

from __future__ import annotations

import pytest
import torch
from models.tiny import MODEL_TYPES, VOCABULARY, make_batch, tiny_model
from transformers import PreTrainedModel

from harness.methods.base import Batch
from harness.methods.objective import build_objective
from harness.methods.untrained import BLOCKS, Untrained, untrained_parameters
from harness.models.taps import Tapped
from harness.spec.base import Shape
from harness.spec.entries import Method
from harness.spec.terms import Embeddings, Relations

from .test_shipped import METHODS

DISTILLED = {name: method for name, method in METHODS.items() if method.objective}
WIDTH, HEADS = 48, 12
BLOCK_OF = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output": "attention output",
    "attention.q_lin": "query",
    "attention.k_lin": "key",
    "attention.v_lin": "value",
    "attention.out_lin": "attention output",
    "sa_layer_norm": "attention output",
}
"""Module below a layer -> our name of its block; what is not listed is the feed-forward block."""


def shape(layers: int, model_type: str) -> Shape:
    return Shape(layers, WIDTH, HEADS, 48, VOCABULARY, model_type, mlm_head=True)


def without_gradient(model: PreTrainedModel, layers: int) -> Untrained:
    """The blocks of which no parameter has a gradient that is not zero."""
    blocks: dict[tuple[int, str], bool] = {
        (i, block): False for i in range(1, layers + 1) for block in BLOCKS
    }
    embeddings = head = False
    words = model.get_input_embeddings().weight
    for name, parameter in model.named_parameters():
        touched = parameter.grad is not None and bool(parameter.grad.any())
        _, is_layer, rest = name.partition(".layer.")
        if is_layer:
            index, _, inner = rest.partition(".")
            block = next(
                (ours for theirs, ours in BLOCK_OF.items() if inner.startswith(theirs)), "feed-forward"
            )
            blocks[int(index) + 1, block] |= touched
        elif ".embeddings." in name or parameter is words:  # tied, and named after the decoder in XLM-R
            embeddings |= touched
        elif "pooler" not in name:
            head |= touched
    left = {
        i: tuple(block for block in BLOCKS if not blocks[i, block])
        for i in range(1, layers + 1)
    }  # fmt: skip
    return Untrained(not embeddings, {i: found for i, found in left.items() if found}, not head)


def labelled() -> Batch:
    whole = make_batch(rows=2, tokens=8, lengths=(8, 5))
    labels = torch.where(whole.attention_mask & (torch.arange(8) % 3 == 1), whole.input_ids, -100)
    return Batch(whole.input_ids, whole.attention_mask, labels, padded=True)


def trained(method: Method, model_type: str) -> Untrained:
    """One backward pass of the method's loss on a 2-layer student of a 4-layer teacher."""
    sizes = shape(4, model_type), shape(2, model_type)
    teacher = tiny_model(model_type, layers=4, width=WIDTH, heads=HEADS)
    student = tiny_model(model_type, seed=1, layers=2, width=WIDTH, heads=HEADS)
    objective = build_objective(method.objective, *sizes, torch.Generator().manual_seed(0))
    batch = labelled()
    activations = (
        Tapped(teacher, objective.teacher_needs, frozen=True)(batch),
        Tapped(student, objective.student_needs)(batch),
    )
    due = objective.due(0)
    observed = objective.observe(due, *activations, batch)
    objective.refresh(due, observed, objective.counts(batch), torch.Generator().manual_seed(0))
    objective.loss(objective(*activations, batch), objective.counts(batch))[0].backward()
    return without_gradient(student, 2)


@pytest.mark.parametrize("name", DISTILLED)
def test_what_is_said_to_be_untrained_receives_no_gradient(name: str) -> None:
    said = untrained_parameters(DISTILLED[name].objective, shape(4, "bert"), shape(2, "bert"))
    assert trained(DISTILLED[name], "bert") == said


@pytest.mark.parametrize("model_type", [kind for kind in MODEL_TYPES if kind != "bert"])
@pytest.mark.parametrize("name", ["minilmv2", "hs-uniform", "distilbert", "tinybert"])
def test_the_same_holds_in_every_family(name: str, model_type: str) -> None:
    said = untrained_parameters(DISTILLED[name].objective, shape(4, model_type), shape(2, model_type))
    assert trained(DISTILLED[name], model_type) == said


def test_minilmv2_leaves_the_last_block_above_its_projections_untrained() -> None:
    said = untrained_parameters([Relations()], shape(4, "bert"), shape(2, "bert"))
    assert said.parts == ("layer 2: attention output, feed-forward", "masked-LM head")


def test_layers_above_the_one_that_learns_are_untrained_whole() -> None:
    said = untrained_parameters(
        [Relations(student_layer=1, pairs=("qk",))], shape(4, "bert"), shape(3, "bert")
    )
    assert said.parts == (
        "layer 1: value, attention output, feed-forward",
        "layer 2",
        "layer 3",
        "masked-LM head",
    )


def test_embeddings_alone_leave_every_layer_untrained() -> None:
    assert untrained_parameters([Embeddings()], shape(4, "bert"), shape(1, "bert")).parts == (
        "layer 1",
        "masked-LM head",
    )


def test_without_terms_everything_stands_as_initialised() -> None:
    assert untrained_parameters([], shape(4, "bert"), shape(1, "bert")).parts == (
        "embeddings",
        "layer 1",
        "masked-LM head",
    )
