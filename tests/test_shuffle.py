"""Shuffled orders that can be entered anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.shuffle import generator, key_of, permuted


@given(st.integers(1, 3000), st.integers(0, 2**64))
def test_every_entry_comes_exactly_once(size: int, seed: int) -> None:
    order = permuted(np.arange(size), size, key_of(seed))
    assert sorted(order.tolist()) == list(range(size))


def test_an_entry_does_not_depend_on_what_else_is_asked() -> None:
    whole = permuted(np.arange(1000), 1000, key_of("a"))
    assert permuted(np.array([17, 3]), 1000, key_of("a")).tolist() == [whole[17], whole[3]]


def test_a_billion_entries_cost_no_more_than_ten() -> None:
    far = permuted(np.arange(10**9 - 5, 10**9), 10**9, key_of("far"))
    assert len(set(far.tolist())) == 5
    assert ((far >= 0) & (far < 10**9)).all()


def test_first_places_are_uniform_over_keys() -> None:
    size, draws = 50, 5000
    first = [int(permuted(np.array([0]), size, key_of("uniform", n))[0]) for n in range(draws)]
    assert stats.chisquare(np.bincount(first, minlength=size)).pvalue > 1e-4


def test_neighbours_are_not_kept_together() -> None:
    order = permuted(np.arange(10_000), 10_000, key_of("x"))
    assert abs(stats.spearmanr(order[:-1], order[1:]).statistic) < 0.05
    assert abs(stats.spearmanr(np.arange(10_000), order).statistic) < 0.05


def test_a_generator_is_made_of_its_names_alone() -> None:
    assert generator("a", 1).random() == generator("a", 1).random()
    assert generator("a", 1).random() != pytest.approx(generator("a", 2).random())
    assert generator("a", 12).random() != pytest.approx(generator("a1", 2).random())
