"""The objective: names, weights, projections, and mappings that are refreshed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.methods.loss import Needs
from harness.methods.losses.layer_pairs import LayerPairLoss
from harness.methods.objective import Objective, build_objective
from harness.methods.terms import Cosine, Embeddings, Logits, Mlm, Qkv, Relations, TermParams

from .random_models import NARROW, TEACHER, activations, batch, hidden_states


def built(*params: TermParams, seed: int = 0) -> Objective:
    return build_objective(params, TEACHER, NARROW, torch.Generator().manual_seed(seed))


def test_a_term_that_is_used_again_is_numbered() -> None:
    objective = built(Relations(heads=4), Mlm(), Relations(heads=2), Relations(heads=1))
    whole = batch([5, 3], 5)
    names = ["relations", "mlm", "relations#2", "relations#3"]
    assert list(objective.counts(whole)) == names
    double = objective.double()
    assert list(double(activations(TEACHER, 2, 5), activations(NARROW, 2, 5), whole)) == names


def test_the_loss_is_the_weighted_sum_of_sums_over_counts() -> None:
    objective = built(Logits(weight=5.0), Mlm(weight=2.0))
    sums = {"logits": torch.tensor(6.0), "mlm": torch.tensor(10.0, requires_grad=True)}
    loss, values = objective.loss(sums, {"logits": 3, "mlm": 4})
    assert loss.item() == 5 * 2.0 + 2 * 2.5
    assert {name: value.item() for name, value in values.items()} == {"logits": 2.0, "mlm": 2.5}
    assert loss.requires_grad
    assert not values["mlm"].requires_grad


def test_a_batch_without_corrupted_positions_has_no_masked_loss() -> None:
    objective = built(Mlm()).double()
    whole = batch([5, 3], 5)
    whole.labels.fill_(-100)
    counts = objective.counts(whole)
    sums = objective(activations(TEACHER, 2, 5), activations(NARROW, 2, 5), whole)
    assert objective.loss(sums, counts)[0].item() == 0


def test_needs_are_those_of_all_terms() -> None:
    objective = built(Mlm(), Relations(heads=4), hidden_states(mapping="last"))
    last = frozenset({4}), frozenset({2})
    assert objective.teacher_needs == Needs(hidden=last[0], qkv=last[0])
    assert objective.student_needs == Needs(hidden=last[1], qkv=last[1], mlm=True)


def test_projections_are_fixed_by_the_generator_and_keep_the_states_scale() -> None:
    params = hidden_states(bias=True), Cosine(projection="linear")
    first, again, other = (built(*params, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    weights = [name for name in first if name.endswith("weight")]
    assert weights
    assert not any(torch.equal(first[name], other[name]) for name in weights)
    assert all(not first[name].any() for name in first if name.endswith("bias"))
    assert all(first[name].std().item() == pytest.approx(NARROW.width**-0.5, rel=0.35) for name in weights)


@pytest.mark.parametrize(
    "params", [hidden_states(projection="per_pair", bias=True), Cosine(projection="linear"), Embeddings()]
)
@pytest.mark.parametrize("width", [8, 12, 16])
def test_a_square_projection_of_states_starts_as_the_identity_and_no_other(params, width: int) -> None:
    student = replace(NARROW, width=width)
    objective = build_objective([params, Qkv(heads=4)], TEACHER, student, torch.Generator().manual_seed(1))
    weights = {name: value for name, value in objective.state_dict().items() if name.endswith("weight")}
    for name, weight in weights.items():
        is_identity = weight.shape == (width, width) and torch.equal(weight, torch.eye(width))
        assert is_identity == (width == TEACHER.width and "projection" in name), name
    assert {"projection" in name for name in weights} == {True, False}


def test_a_copy_of_the_teacher_has_no_hidden_state_loss_to_begin_with() -> None:
    objective = build_objective([hidden_states(mapping="uniform"), Embeddings()], TEACHER, TEACHER).double()
    seen, whole = activations(TEACHER, 2, 5), batch([5, 3], 5)
    assert all(total.item() == 0 for total in objective(seen, seen, whole).values())


@pytest.mark.parametrize(
    ("projection", "mapping", "matrices"),
    [
        ("linear", "uniform_consecutive", 2),
        ("shared_linear", "uniform", 1),
        ("per_pair", "emd", 8),
        ("none", "emd", 0),
    ],
)
def test_projections_are_as_many_as_their_kind_says(projection: str, mapping: str, matrices: int) -> None:
    objective = built(hidden_states(projection=projection, mapping=mapping))
    assert len(list(objective.parameters())) == matrices


def test_mappings_that_are_due_are_refreshed_and_others_left_alone() -> None:
    objective = built(hidden_states(mapping={"name": "random", "every": 2}), hidden_states(mapping="uniform"))
    assert [objective.due(step) for step in range(3)] == [["hidden_states"], [], ["hidden_states"]]
    assert not objective.observes(["hidden_states"])
    objective.refresh(["hidden_states"], {}, {"hidden_states": 8}, torch.Generator().manual_seed(0))
    static = objective.terms["hidden_states#2"]
    assert isinstance(static, LayerPairLoss)
    assert static.pairs == {(1, 2): 0.5, (2, 4): 0.5}


def test_a_resumed_objective_goes_on_with_the_weights_it_had() -> None:
    whole = batch([5, 3], 5)
    models = activations(TEACHER, 2, 5), activations(NARROW, 2, 5, seed=1)
    objective, resumed = (built(hidden_states(mapping="emd"), seed=seed).double() for seed in (0, 5))
    assert objective.observes(["hidden_states"])
    observed = objective.observe(["hidden_states"], *models, whole)
    objective.refresh(["hidden_states"], observed, objective.counts(whole), torch.Generator())
    resumed.load_state_dict(objective.state_dict())
    losses = [one(*models, whole)["hidden_states"] for one in (objective, resumed)]
    assert torch.equal(*losses)
    assert all(isinstance(value, torch.Tensor) for value in objective.state_dict().values())


def test_half_precision_states_cost_nearly_the_same() -> None:
    whole = batch([5, 3], 5)
    objective = built(hidden_states(), Cosine(projection="linear"), Logits(), Relations(heads=4))
    counts = objective.counts(whole)
    exact, narrow = (
        objective.loss(
            objective(
                activations(TEACHER, 2, 5, dtype=torch.bfloat16 if half else torch.float32),
                activations(NARROW, 2, 5, seed=1, dtype=torch.float32),
                whole,
            ),
            counts,
        )[1]
        for half in (False, True)
    )
    for name, value in exact.items():
        assert narrow[name].dtype == torch.float32
        torch.testing.assert_close(narrow[name], value, rtol=0.02, atol=0.01)
