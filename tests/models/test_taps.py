"""Taps read exactly what transformers computes, and compute nothing that is not read."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from harness.families import family_of
from harness.methods.loss import Needs
from harness.models.taps import Tapped

from .tiny import make_batch, tiny_model

BATCHES = {"full": make_batch(), "padded": make_batch(lengths=(9, 4, 6))}
EVERYTHING = Needs(hidden=frozenset(range(5)), qkv=frozenset(range(1, 5)), mlm=True)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_hidden_states_are_those_of_transformers(model_type: str, batch, attention: str) -> None:
    model = tiny_model(model_type)
    if attention == "sdpa" and family_of(model).kernel == "eager":
        pytest.skip("transformers has its own code for this family's attention alone")
    model.set_attn_implementation(attention)
    expected = model(
        batch.input_ids, attention_mask=batch.attention_mask.long(), output_hidden_states=True
    ).hidden_states
    tapped = Tapped(model, EVERYTHING)(batch)
    assert len(expected) == 5
    for layer, states in enumerate(expected):
        torch.testing.assert_close(
            tapped.hidden[layer][batch.attention_mask], states[batch.attention_mask], rtol=1e-5, atol=1e-5
        )


def test_projections_are_the_linear_maps_of_the_layer_below(model_type: str) -> None:
    model = tiny_model(model_type)
    tapped = Tapped(model, EVERYTHING)(BATCHES["padded"])
    family = family_of(model)
    for layer in range(1, 5):
        module = family.layers(model)[layer - 1]
        maps, read = family.projections(module), family.attention_input(module, tapped.hidden[layer - 1])
        for name in ("query", "key", "value"):
            linear = getattr(maps, name)
            expected = read @ linear.weight.T + (0 if linear.bias is None else linear.bias)
            torch.testing.assert_close(getattr(tapped.qkv[layer], name), expected, rtol=1e-5, atol=1e-5)


def test_the_split_head_gives_the_logits_of_the_whole_model(model_type: str) -> None:
    model = tiny_model(model_type)
    batch = BATCHES["full"]
    tapped = Tapped(model, Needs(mlm=True))(batch)
    logits = tapped.mlm.transform(tapped.hidden[4]) @ tapped.mlm.weight.T + tapped.mlm.bias
    torch.testing.assert_close(logits, model(batch.input_ids).logits, rtol=1e-5, atol=1e-5)


class Calls:
    """Counts how often parts of a model run."""

    def __init__(self, model: PreTrainedModel) -> None:
        family = family_of(model)
        self.layers, self.linears, self.head = 0, 0, 0
        for layer in family.layers(model):
            layer.register_forward_hook(lambda *_: self._count("layers"))
            for module in layer.modules():
                if isinstance(module, nn.Linear):
                    module.register_forward_hook(lambda *_: self._count("linears"))
        for module in family.head_modules(model).values():
            module.register_forward_hook(lambda *_: self._count("head"))

    def _count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)


@pytest.mark.parametrize(
    ("needs", "layers", "projected"),
    [
        (Needs(hidden=frozenset({2})), 2, 0),
        (Needs(hidden=frozenset({0})), 0, 0),
        (Needs(qkv=frozenset({3})), 2, 1),
        (Needs(qkv=frozenset({1})), 0, 1),
        (Needs(hidden=frozenset({3}), qkv=frozenset({2, 3})), 3, 0),
        (Needs(hidden=frozenset({1}), qkv=frozenset({2, 4})), 3, 1),
        (Needs(mlm=True), 4, 0),
    ],
)
def test_the_run_ends_at_the_deepest_thing_needed(
    model_type: str, needs: Needs, layers: int, projected: int
) -> None:
    """`projected`: layers of which nothing but queries, keys and values is computed."""
    model = tiny_model(model_type)
    calls = Calls(model)
    whole, maps = (4, 1) if model_type == "modernbert" else (6, 3)
    linears = layers * whole + projected * maps
    early = Tapped(model, needs, frozen=True)(BATCHES["padded"])
    assert (calls.layers, calls.linears, calls.head) == (layers, linears, 0)
    whole = Tapped(model, needs | Needs(hidden=frozenset({4})), frozen=True)(BATCHES["padded"])
    assert calls.layers == layers + 4
    assert set(early.hidden) == needs.hidden | ({4} if needs.mlm else set())
    for layer in early.hidden:
        assert torch.equal(early.hidden[layer], whole.hidden[layer])
    assert set(early.qkv) == set(whole.qkv) == needs.qkv
    for layer in early.qkv:
        assert torch.equal(early.qkv[layer].value, whole.qkv[layer].value)


def test_a_student_stays_in_the_graph_and_a_teacher_does_not(model_type: str) -> None:
    model = tiny_model(model_type).train()
    student = Tapped(model, EVERYTHING)(BATCHES["full"])
    sum(qkv.key.sum() for qkv in student.qkv.values()).backward()
    family = family_of(model)
    assert all(
        module.weight.grad is not None
        for layer in family.layers(model)
        for module in family.projections(layer).modules[:2][-1:]
    )
    frozen = Tapped(model, EVERYTHING, frozen=True)
    assert not model.training
    teacher = frozen(BATCHES["full"])
    assert not any(states.requires_grad for states in teacher.hidden.values())
    assert (student.hidden[4] - teacher.hidden[4]).square().mean().requires_grad


def test_no_hook_stays_behind_even_when_a_layer_fails(model_type: str) -> None:
    model = tiny_model(model_type)
    tapped = Tapped(model, EVERYTHING)
    tapped(BATCHES["full"])
    assert not any(module._forward_hooks for module in model.modules())
    layer = family_of(model).layers(model)[1]
    layer.forward = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        tapped(BATCHES["full"])
    assert not any(module._forward_hooks for module in model.modules())


def test_what_stands_in_padding_changes_nothing(model_type: str) -> None:
    model = tiny_model(model_type)
    short, padded = make_batch(rows=3, tokens=4), BATCHES["padded"]
    cut = type(padded)(padded.input_ids[1:2, :4], short.attention_mask[:1], short.labels[:1], padded=False)
    alone, among = (Tapped(model, EVERYTHING)(batch) for batch in (cut, padded))
    torch.testing.assert_close(among.hidden[4][1, :4], alone.hidden[4][0], rtol=1e-5, atol=1e-5)


def test_a_layer_that_is_not_there_is_refused() -> None:
    model = tiny_model("bert")
    with pytest.raises(ValueError, match=r"layers 1 to 4; asked for \[5\]"):
        Tapped(model, Needs(hidden=frozenset({5})))
    with pytest.raises(ValueError, match=r"asked for \[0\]"):
        Tapped(model, Needs(qkv=frozenset({0})))


def test_the_shape_of_activations_comes_with_them(model_type: str) -> None:
    activations = Tapped(tiny_model(model_type, heads=8), Needs(hidden=frozenset({1})))(BATCHES["full"])
    assert (activations.heads, activations.layers, activations.mlm) == (8, 4, None)
