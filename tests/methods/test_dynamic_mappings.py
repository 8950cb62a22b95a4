"""Dynamic mappings: optimal by brute force and by linear programming, drawn from the generator given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from harness.methods.mappings import Attention, Emd, Greedy, Random
from harness.methods.mappings.dynamic_weights import (
    AttentionWeights,
    EmdWeights,
    GreedyWeights,
    PairWeights,
    RandomWeights,
    monotone_assignment,
)

ALL = [EmdWeights(Emd(), 6, 3), GreedyWeights(Greedy(), 6, 3), RandomWeights(Random(), 6, 3)]
sizes = st.integers(1, 6).flatmap(lambda teacher: st.tuples(st.integers(1, teacher), st.just(teacher)))


def costs_of(size: tuple[int, int], seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(size))


@given(size=sizes, seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_the_greedy_assignment_is_the_cheapest_non_decreasing_one(size: tuple[int, int], seed: int) -> None:
    costs = costs_of(size, seed).tolist()

    def total(columns: tuple[int, ...]) -> float:
        return sum(row[j] for row, j in zip(costs, columns, strict=True))

    cheapest = min(itertools.combinations_with_replacement(range(size[1]), size[0]), key=total)
    assert monotone_assignment(costs) == [j + 1 for j in cheapest]


@given(size=sizes, seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_the_emd_flow_costs_what_linear_programming_finds(size: tuple[int, int], seed: int) -> None:
    students, teachers = size
    costs = costs_of(size, seed)
    flow = EmdWeights(Emd(), teachers, students).refresh(costs, torch.Generator())
    rows = np.kron(np.eye(students), np.ones(teachers))
    columns = np.kron(np.ones(students), np.eye(teachers))
    marginals = np.concatenate([np.full(students, 1 / students), np.full(teachers, 1 / teachers)])
    best = linprog(costs.numpy().ravel(), A_eq=np.vstack([rows, columns]), b_eq=marginals).fun
    assert (flow * costs).sum().item() == pytest.approx(best, rel=1e-9)
    torch.testing.assert_close(flow.sum(dim=1), torch.full((students,), 1 / students, dtype=torch.float64))
    torch.testing.assert_close(flow.sum(dim=0), torch.full((teachers,), 1 / teachers, dtype=torch.float64))


@pytest.mark.parametrize("weights", ALL, ids=lambda weights: type(weights).__name__)
def test_weights_sum_to_one_before_and_after_a_refresh(weights: PairWeights) -> None:
    refreshed = weights.refresh(costs_of((3, 6), 0), torch.Generator())
    for one in (weights.weights, refreshed):
        assert one.shape == (3, 6)
        assert one.sum().item() == pytest.approx(1)
        assert (one >= 0).all()
    assert all(1 <= i <= 3 and 1 <= j <= 6 for i, j in weights.pairs())


@given(seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_random_draws_are_sorted_distinct_and_fixed_by_the_generator(seed: int) -> None:
    weights = RandomWeights(Random(), 12, 4)
    drawn = [weights.refresh(torch.zeros(4, 12), torch.Generator().manual_seed(seed)) for _ in range(2)]
    assert torch.equal(*drawn)
    columns = drawn[0].argmax(dim=1).tolist()
    assert columns == sorted(set(columns))


def test_mappings_are_refreshed_every_so_many_steps() -> None:
    weights = GreedyWeights(Greedy(every=10), 6, 3)
    assert [step for step in range(25) if weights.due(step)] == [0, 10, 20]


def test_attention_weights_are_a_softmax_over_teacher_layers() -> None:
    student, teacher = torch.randn(2, 5), torch.randn(4, 2, 5)
    weights = AttentionWeights(Attention(), 4, 2).blend(student, teacher)
    want = torch.stack([(teacher[:, b] @ student[b]).softmax(0) for b in range(2)])
    torch.testing.assert_close(weights, want)
