"""Metrics: degenerate predictions, refusals, and names."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.errors import InputError
from harness.kinds.metrics import METRICS, compute

PERFECT: dict[str, list[object]] = {
    "classification": [0, 1, 1, 0],
    "regression": [0.5, 1.5, 0.0, 2.0],
    "retrieval": [2, 0, 3, 1],
    "words": [[0, 1], [2]],
    "entities": [[0, 1, 2], [1]],
}


@pytest.mark.parametrize("name", list(METRICS))
def test_perfect_predictions_reach_the_highest_value(name: str) -> None:
    values = PERFECT[METRICS[name].kind]
    assert compute(name, values, values) == pytest.approx(1.0, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_binary_metrics_equal_their_formulas_on_any_predictions(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = (np.array(side) for side in zip(*pairs, strict=True))
    tp, tn = ((predictions == labels) & (labels == 1)).sum(), ((predictions == labels) & (labels == 0)).sum()
    fp, fn = ((predictions == 1) & (labels == 0)).sum(), ((predictions == 0) & (labels == 1)).sum()
    under = math.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    assert compute("accuracy", predictions, labels) == pytest.approx((tp + tn) / len(pairs))
    assert compute("f1", predictions, labels) == pytest.approx(
        2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
    )
    assert compute("matthews", predictions, labels) == pytest.approx(
        (tp * tn - fp * fn) / under if under else 0.0
    )


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5, width=16), st.sampled_from([0.0, 0.1, 2.5])), min_size=2, max_size=30)
)
def test_spearman_is_pearson_of_average_ranks_and_nan_on_a_constant_side(
    pairs: list[tuple[float, float]],
) -> None:
    predictions, labels = (np.array(side) for side in zip(*pairs, strict=True))
    if len(set(predictions)) == 1 or len(set(labels)) == 1:
        assert math.isnan(compute("spearman", predictions, labels))
        assert math.isnan(compute("pearson", predictions, labels))
    else:
        ranked = compute("pearson", stats.rankdata(predictions), stats.rankdata(labels))
        assert compute("spearman", predictions, labels) == pytest.approx(ranked, abs=1e-12)


def test_a_constant_that_float32_cannot_hold_is_still_a_constant() -> None:
    assert math.isnan(compute("pearson", np.full(13, 0.1, dtype=np.float32), np.arange(13.0)))


def test_retrieval_counts_the_queries_whose_first_hit_is_right() -> None:
    assert compute("accuracy@1", [0, 2, 2, 3], [0, 1, 2, 3]) == 0.75


@pytest.mark.parametrize(
    ("name", "predictions", "labels", "reason"),
    [
        ("accuracy", [], [], "at least 1"),
        ("accuracy", [1, 0], [1], "2 predictions for 1 labels"),
        ("accuracy", [[1, 0]], [[1, 0]], "1-D"),
        ("accuracy", [0.5, 1.0], [0, 1], "whole numbers"),
        ("accuracy", [math.inf, 1.0], [0, 1], "whole numbers"),
        ("accuracy", ["yes", "no"], [0, 1], "whole numbers"),
        ("f1", [0, 2], [0, 2], "2 classes"),
        ("f1", [2, 2], [2, 2], "2 classes"),
        ("f1", [-1, 1], [1, 1], "2 classes"),
        ("pearson", [1.0], [2.0], "at least 2"),
        ("spearman", ["a", "b"], [1.0, 2.0], "must be numbers"),
    ],
)
def test_input_that_has_no_metric_is_refused(name: str, predictions: list, labels: list, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compute(name, predictions, labels)


def test_an_unknown_metric_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean 'accuracy'"):
        compute("acuracy", [1], [1])


def test_metric_names_are_known_without_loading_a_numeric_library() -> None:
    heavy = {"numpy", "scipy", "sklearn", "pandas", "torch"}
    code = f"import sys, harness.kinds.metrics; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
