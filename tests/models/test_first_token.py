"""A last layer computed for the first token alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from harness.kinds import KINDS
from harness.models.classify import Classifier, build_classifier
from harness.models.first_token import compute_first_token_only
from harness.models.loaded import LoadedModel

IDS = torch.tensor([[0, 9, 11, 9, 2], [0, 14, 2, 1, 1]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def both(teacher: LoadedModel, attention: str) -> tuple[Classifier, Classifier]:
    """The same classifier in float64, whole and with a last layer for the first token."""
    whole, fewer = (
        build_classifier(teacher, 3, dropout=0.0, seed=1, attention=attention).train().double()
        for _ in range(2)
    )
    compute_first_token_only(fewer.model)
    return whole, fewer


@pytest.mark.parametrize("mask", [MASK, None], ids=["padded", "whole"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_outputs_and_gradients_are_those_of_the_whole_layer(
    teacher: LoadedModel, attention: str, mask: Tensor | None
) -> None:
    whole, fewer = both(teacher, attention)
    for model in (whole, fewer):
        torch.nn.functional.cross_entropy(model(IDS, mask), torch.tensor([0, 2])).backward()
    torch.testing.assert_close(fewer(IDS, mask), whole(IDS, mask), rtol=1e-9, atol=1e-12)
    wanted = {name: one.grad for name, one in whole.named_parameters() if one.grad is not None}
    found = {name: one.grad for name, one in fewer.named_parameters() if one.grad is not None}
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-9, atol=1e-12, msg=name)


def test_dropout_acts_on_it_in_training_alone(teacher: LoadedModel) -> None:
    model = build_classifier(teacher, 3, dropout=0.5, seed=1)
    compute_first_token_only(model.model)
    torch.manual_seed(0)
    assert not torch.equal(model.train()(IDS, MASK), model(IDS, MASK))
    assert torch.equal(model.eval()(IDS, MASK), model(IDS, MASK))


def test_its_operations_by_formula_are_those_a_profiler_counts(teacher: LoadedModel) -> None:
    _, model = both(teacher, "eager")
    states: list[Tensor] = []
    hook = model.model.base_model.register_forward_hook(lambda _m, _i, output: states.append(output[0]))
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.model.base_model(IDS)
    hook.remove()
    with FlopCounterMode(display=False) as head, torch.no_grad():
        pooler = getattr(model.model.base_model, "pooler", None)
        if pooler is not None:
            pooler(states[0])
    expected = KINDS["classification"].forward_flops(teacher.shape, *IDS.shape)
    assert forward.get_total_flops() - head.get_total_flops() == expected
