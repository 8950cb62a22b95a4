"""Layer mappings against exact arithmetic (layer-maps) and exact optimal transport (emd-mapping)."""

from __future__ import annotations

import pytest
import torch

from harness.methods.loss import Activations, Batch
from harness.methods.losses.hidden_states import HiddenStatesLoss
from harness.methods.mappings import (
    Last,
    LastK,
    Reverse,
    StaticMapping,
    Uniform,
    UniformConsecutive,
    UniformLast,
)
from harness.methods.mappings.dynamic_weights import PairWeights
from harness.methods.terms import HiddenStates
from harness.shapes import Shape

from .cases import GoldenCase

RULES: dict[str, StaticMapping] = {
    "last": Last(),
    "uniform": Uniform(),
    "last_k": LastK(),
    "uniform_consecutive_half_open": UniformConsecutive(variant="half_open", allow_empty=True),
    "uniform_consecutive_closed": UniformConsecutive(variant="closed"),
    "uniform_plus_last": UniformLast(),
    "tinybert": Uniform(include_embeddings=True),
    "reverse": Reverse(),
    "pkd_skip": Uniform(exclude_last=True),
    "pkd_last": LastK(exclude_last=True),
}
"""The case's name of a rule -> ours."""


def _depths(case: GoldenCase) -> list[tuple[int, int, dict[str, object]]]:
    return [(*map(int, key.split("->")), rules) for key, rules in case.expected.items()]  # type: ignore[misc]


@pytest.mark.golden("layer-maps")
def test_every_rule_gives_the_recorded_layers(golden_case: GoldenCase) -> None:
    for teacher, student, rules in _depths(golden_case):
        for name, mapping in RULES.items():
            want = rules[name]
            if want is None:
                assert list(mapping.problems(teacher, student)), f"{teacher}->{student} {name} is undefined"
                continue
            assert isinstance(want, dict)
            got = {str(i): list(layers) for i, layers in mapping.layers(teacher, student).items()}
            taught = {i: layers for i, layers in want.items() if layers}
            assert got == taught, f"{teacher}->{student} {name}"


@pytest.mark.golden("layer-maps")
def test_every_recorded_rule_is_checked(golden_case: GoldenCase) -> None:
    remarks = {"half_open_has_empty_sets_for_students", "closed_was_clipped_for_students"}
    for _, _, rules in _depths(golden_case):
        assert set(rules) <= {*RULES, *remarks}


@pytest.mark.golden("layer-maps")
def test_half_open_blocks_without_a_teacher_layer_are_refused_by_name(golden_case: GoldenCase) -> None:
    for teacher, student, rules in _depths(golden_case):
        empty = rules["half_open_has_empty_sets_for_students"]
        assert isinstance(empty, list)
        problems = list(UniformConsecutive(variant="half_open").problems(teacher, student))
        assert bool(problems) == bool(empty)
        for layer in empty:
            assert str(layer) in problems[0].message
            assert "closed" in problems[0].message
            assert "balanced" in problems[0].message


def _emd(case: GoldenCase) -> tuple[HiddenStatesLoss, torch.Tensor, Activations, Activations, Batch]:
    """(refreshed term, leaf student states, teacher, student, batch); no projection, float64."""
    tensors = case.tensors()
    student, teacher = tensors["student_hidden"].double().requires_grad_(), tensors["teacher_hidden"].double()
    mask = tensors["attention_mask"].bool()

    def shape(states: torch.Tensor) -> Shape:
        return Shape(len(states), states.shape[-1], 1, 1, 1, "bert", mlm_head=False)

    params = HiddenStates.model_validate({"mapping": "emd", "projection": "none"})
    term = HiddenStatesLoss(params, shape(teacher), shape(student))
    batch = Batch(torch.zeros_like(mask, dtype=torch.int64), mask, torch.full(mask.shape, -100))
    mine = Activations(hidden=dict(enumerate(student, start=1)))
    theirs = Activations(hidden=dict(enumerate(teacher, start=1)))
    term.refresh(term.observe(theirs, mine, batch), term.count(batch), torch.Generator())
    return term, student, theirs, mine, batch


@pytest.mark.golden("emd-mapping")
def test_the_cost_of_every_pair_is_the_recorded_one(golden_case: GoldenCase) -> None:
    term, _, teacher, student, batch = _emd(golden_case)
    costs = term.observe(teacher, student, batch) / term.count(batch)
    golden_case.assert_tensor(costs, golden_case.tensors()["expected.cost_matrix"], "cost matrix")


@pytest.mark.golden("emd-mapping")
def test_the_flow_is_the_optimal_one(golden_case: GoldenCase) -> None:
    term, *_ = _emd(golden_case)
    assert isinstance(term.weights, PairWeights)
    flow = term.weights.weights
    students, teachers = flow.shape
    golden_case.assert_tensor(flow.sum(dim=1), torch.full((students,), 1 / students), "row sums", "float32")
    golden_case.assert_tensor(
        flow.sum(dim=0), torch.full((teachers,), 1 / teachers), "column sums", "float32"
    )
    tensors = golden_case.tensors()
    if "expected.flow" in tensors:
        golden_case.assert_tensor(flow, tensors["expected.flow"], "flow")


@pytest.mark.golden("emd-mapping")
def test_the_loss_is_the_total_cost_and_its_gradient_holds_the_flow(golden_case: GoldenCase) -> None:
    term, leaf, teacher, student, batch = _emd(golden_case)
    loss = term(teacher, student, batch) / term.count(batch)
    golden_case.assert_scalar(loss.item(), golden_case.expected["total_cost"], "total cost")
    want = golden_case.tensors().get("expected.grad_student_hidden")
    if want is not None:
        (gradient,) = torch.autograd.grad(loss, leaf)
        golden_case.assert_tensor(gradient, want, "gradient")
