"""A row that is the same student for every seed: a known number, against which others are tested by one sample."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.ranking import statistics as st
from harness.ranking.compare import compared

from .test_statistics import board

CONSTANT_BOARDS = 60


def test_a_row_that_is_one_student_for_every_seed_is_a_known_number() -> None:
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(CONSTANT_BOARDS):
        scores = rng.normal(0.5, 0.1, size=int(rng.integers(2, 6)))
        level = float(rng.normal(0.5, 0.2))
        table = board({"known": [level], "other": scores.tolist()})
        table = table.assign(constant=table["config_id"] == "known")
        apart = bool(stats.ttest_1samp(scores, level).pvalue < 0.05)
        verdicts.append(apart)
        for pooled in (False, True):  # of one row with a spread, the pooled variance is its own
            ranks = st.rank(table, pooled=pooled)
            higher = ranks.table["config_id"][0]
            assert ranks.above.any() == ranks.above[0, 1] == apart
            assert higher == ("known" if level > scores.mean() else "other")
        assert not st.rank(table.drop(columns="constant")).above.any()
        twins = pd.concat([table, table.assign(config_id=table["config_id"] + "2", mean=table["mean"] + 9)])
        both = twins[twins["constant"]]
        assert not st.rank(both).above.any()
        assert not st.rank(both, pooled=True).above.any()
    assert 5 < sum(verdicts) < CONSTANT_BOARDS - 5


def test_compare_sets_students_against_a_known_number_by_one_sample() -> None:
    rng = np.random.default_rng(4)
    seeds = pd.Index([3, 5, 8, 9])
    scores, level = pd.Series(rng.normal(0.5, 0.1, 4), index=seeds), pd.Series([0.41], index=[1])
    low, high = stats.ttest_1samp(scores - 0.41, 0).confidence_interval(0.99)
    found = compared(scores, level, (False, True), 5, 0.95)
    assert (found["test"], found["n_a"], found["n_b"], found["because"]) == ("one-sample", 4, 1, "")
    for test in ("", "paired_", "unpaired_"):
        assert (found[f"{test}low"], found[f"{test}high"]) == pytest.approx((low, high))
    turned = compared(level, scores, (True, False), 5, 0.95)
    assert (turned["low"], turned["high"], turned["n_a"]) == pytest.approx((-high, -low, 1))
    assert turned["p"] == pytest.approx(found["p"])
    alone = compared(scores[:1], level, (False, True), 5, 0.95)
    assert (math.isnan(alone["low"]), alone["because"], alone["n_a"]) == (True, "one seed", 1)
    neither = compared(level, level + 0.2, (True, True), 5, 0.95)
    assert math.isnan(neither["low"])
    assert neither["because"] == "both are the same student for every seed"
