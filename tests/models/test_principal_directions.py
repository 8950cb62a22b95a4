"""Principal directions agree with NumPy's and scikit-learn's, and are the same whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from harness.models.principal_directions import principal_directions

shapes = st.tuples(st.integers(2, 80), st.integers(1, 24))


def drawn(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    """Rows of unequal variances around a mean that is not zero."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator) * torch.linspace(3, 0.5, width) + 2


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 3))
def test_the_share_of_variance_is_that_of_numpys_singular_values(shape: tuple[int, int], seed: int) -> None:
    rows = drawn(*shape, seed)
    found = principal_directions(rows)
    centred = rows.double().numpy() - rows.double().numpy().mean(0)
    squares = np.zeros(shape[1])
    singular = np.linalg.svd(centred, compute_uv=False) ** 2
    squares[: len(singular)] = singular
    for count in range(1, shape[1] + 1):
        assert found.kept(count) == pytest.approx(squares[:count].sum() / squares.sum(), abs=1e-10)
    assert found.kept(shape[1]) == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 3))
def test_the_directions_are_orthonormal_and_their_largest_entry_is_positive(
    shape: tuple[int, int], seed: int
) -> None:
    vectors = principal_directions(drawn(*shape, seed)).vectors
    assert torch.allclose(vectors.T @ vectors, torch.eye(shape[1], dtype=torch.float64), atol=1e-10)
    assert all(column[column.abs().argmax()] > 0 for column in vectors.T)


@settings(max_examples=40, deadline=None)
@given(shapes, st.data())
def test_projecting_leaves_out_of_the_gram_matrix_the_dropped_variance(
    shape: tuple[int, int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, shape[1]))
    rows = drawn(*shape)
    found = principal_directions(rows)
    centred = rows.double() - rows.double().mean(0)
    narrow = centred @ found.first(count)
    left_out = (centred @ centred.T - narrow @ narrow.T).trace()
    whole = (centred @ centred.T).trace()
    assert float(left_out / whole) == pytest.approx(1 - found.kept(count), abs=1e-9)


def test_directions_and_variances_are_scikit_learns() -> None:
    rows = drawn(200, 12)
    found = principal_directions(rows)
    peer = PCA(n_components=5, svd_solver="full").fit(rows.double().numpy())
    overlap = np.abs(np.sum(peer.components_ * found.first(5).T.numpy(), axis=1))
    assert overlap == pytest.approx(np.ones(5), abs=1e-9)
    assert found.kept(5) == pytest.approx(peer.explained_variance_ratio_.sum(), abs=1e-10)


def test_the_number_of_threads_changes_no_bit_and_is_left_as_it_was() -> None:
    rows, before = drawn(20_000, 24), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(principal_directions(rows))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].vectors, found[1].vectors)
    assert torch.equal(found[0].variances, found[1].variances)


def test_rows_without_variance_lose_none() -> None:
    assert principal_directions(torch.ones(5, 3)).kept(1) == 1
