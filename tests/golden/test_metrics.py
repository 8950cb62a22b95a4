"""Metrics against scikit-learn and SciPy as run by others."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import pytest

from harness.kinds.metrics import METRICS, compute

from .cases import GoldenCase, number

OTHER_NAMES = {"f1_macro": "macro_f1", "matthews_multiclass": "matthews"}
"""A case's name for a metric to ours."""
MEANS = {
    "mean_of_accuracy_and_f1": ["accuracy", "f1"],
    "mean_of_pearson_and_spearman": ["pearson", "spearman"],
}
REFUSED: dict[str, tuple[str, list[float], list[float], str]] = {
    "pearson of one example": ("pearson", [1.0], [2.0], "at least 2"),
    "accuracy of nothing": ("accuracy", [], [], "at least 1"),
    "accuracy with a NaN prediction": ("accuracy", [1.0, math.nan], [1, 0], "whole numbers"),
    "f1 binary on 3 classes": ("f1", [0, 1, 2], [0, 1, 1], "2 classes"),
}
"""What a case says that libraries refuse, without its input: (metric, predictions, labels, our words)."""


@pytest.mark.golden("glue-metrics")
def test_metrics_equal_the_peer_libraries(golden_case: GoldenCase) -> None:
    if "cases" in golden_case.expected:
        rows = [row for row in golden_case.expected["cases"] if "expected" in row]
        for row in rows:
            predictions, labels = ([number(x) for x in row[side]] for side in ("predictions", "labels"))
            _check(golden_case, predictions, labels, row["expected"], row["what"])
        assert rows
    else:
        arrays = golden_case.arrays()
        _check(golden_case, arrays["predictions"], arrays["labels"], golden_case.expected, golden_case.name)
        assert golden_case.expected


@pytest.mark.golden("glue-metrics")
def test_what_the_libraries_refuse_is_refused(golden_case: GoldenCase) -> None:
    refused = [
        row["what"]
        for row in golden_case.expected.get("cases", [])
        if "raises ValueError" in row.get("library_behaviour", "")
    ]
    if not refused:
        pytest.skip("this case records no refusal")
    for what in refused:
        metric_name, predictions, labels, reason = REFUSED[what]
        with pytest.raises(ValueError, match=reason):
            compute(metric_name, predictions, labels)


def _check(
    case: GoldenCase, predictions: Any, labels: Any, expected: dict[str, float | str], what: str
) -> None:
    for name, value in expected.items():
        if name in MEANS:
            got = fmean(compute(metric, predictions, labels) for metric in MEANS[name])
        else:
            ours = OTHER_NAMES.get(name, name)
            assert ours in METRICS
            got = compute(ours, predictions, labels)
        want = number(value)
        same = math.isnan(got) if math.isnan(want) else abs(got - want) <= case.tolerance["atol"]
        assert same, f"{what}: {name} is {got!r}, expected {want!r}"
