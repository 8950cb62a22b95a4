"""Scores against guessing: SciPy's own tests, and what is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.kinds.chance import far_below_chance, no_information, p_above
from harness.kinds.metrics import compute


@pytest.mark.parametrize(
    ("correct", "n", "level"), [(500, 1000, 1 / 3), (0, 10, 0.5), (10, 10, 0.5), (893, 2490, 0.35)]
)
def test_a_share_of_right_answers_is_tested_as_scipy_tests_it(correct: int, n: int, level: float) -> None:
    exact = stats.binomtest(correct, n, level, alternative="greater").pvalue
    assert p_above(correct / n, n, level) == pytest.approx(exact, rel=1e-9)


def test_a_correlation_is_tested_as_scipy_tests_pearson() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40))
    for other in (b, a + 2 * b, -a + b):
        found = stats.pearsonr(a, other, alternative="greater")
        assert p_above(found.statistic, 40, 0.0) == pytest.approx(found.pvalue, rel=1e-9)


def test_nothing_is_said_of_few_examples_or_without_a_value() -> None:
    assert p_above(0.99, 9, 0.0) == 1.0
    assert np.isnan(p_above([math.nan, 0.4, math.nan], 100, [0.5, math.nan, 0.0])).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        p_above(0.4, 100, 33.3)


def test_the_best_guess_without_a_look_is_what_a_constant_prediction_scores() -> None:
    labels = np.array([0, 2, 2, 1, 2])
    best = max(compute("accuracy", np.full(5, one), labels) for one in range(3))
    assert no_information("accuracy", labels) == best == 0.6
    assert no_information("accuracy@1", np.arange(5)) == 0.2
    assert no_information("matthews", labels) == no_information("pearson", labels.astype(float)) == 0.0
    assert no_information("f1", labels) is None
    assert no_information("accuracy", labels[:0]) is None


def test_only_a_score_that_bad_luck_cannot_explain_is_flagged() -> None:
    assert far_below_chance("accuracy", 0.25, 1000, 3)
    assert not far_below_chance("accuracy", 0.32, 1000, 3)
    assert not far_below_chance("accuracy", 0.0, 3, 2)
    assert far_below_chance("matthews", -0.9, 100, 2)
    assert not far_below_chance("pearson", -0.05, 100, 0)
    assert not far_below_chance("pearson", math.nan, 100, 0)
    assert not far_below_chance("spearman", -1.0, 3, 0)
    assert not far_below_chance("f1", 0.0, 1000, 2)
    assert not far_below_chance("accuracy@1", 0.0, 1000, 0)
