"""Statistics against SciPy, statsmodels and NumPy as run by others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.ranking import statistics as st

from .cases import GoldenCase

DIFFERENCE_ATOL = 1e-11
"""For differences near 0 of scores near 100: rounding of the scores, not of the difference."""


def _students(scores: np.ndarray) -> pd.DataFrame:
    """(seeds, methods, tasks) as a long frame; names sort like their indices."""
    seeds, methods, tasks = (axis.ravel() for axis in np.indices(scores.shape))
    frame = pd.DataFrame(
        {
            "config_id": methods,
            "distil_seed": seeds,
            "task": tasks,
            "value": scores.astype(np.float64).ravel(),
        }
    )
    frame["config_id"] = frame["config_id"].map("{:04d}".format)
    frame["task"] = frame["task"].map("{:04d}".format)
    return frame.dropna(subset=["value"])


def _pair(key: str) -> tuple[str, str]:
    a, b = key.split("-")
    return f"{int(a):04d}", f"{int(b):04d}"


def _needed(case: GoldenCase, key: str) -> Any:
    if key not in case.expected:
        pytest.skip(f"this case does not record {key}")
    return case.expected[key]


@pytest.mark.golden("statistics")
def test_every_case_records_only_what_is_checked_here(golden_case: GoldenCase) -> None:
    checked = {
        "macro_mean",
        "macro_std",
        "macro_ci95_t",
        "macro_ci95_bootstrap",
        "paired_bootstrap_over_tasks",
        "friedman",
        "wilcoxon_over_tasks",
    }
    assert set(golden_case.expected) <= checked
    tensors = {"cell_mean", "cell_std", "cell_ci95_low", "cell_ci95_high", "cell_n", "ranks"}
    assert {
        name.removeprefix("expected.") for name in golden_case.arrays() if name.startswith("expected.")
    } <= tensors


@pytest.mark.golden("statistics")
def test_cells_over_seeds(golden_case: GoldenCase) -> None:
    arrays = golden_case.arrays()
    cells = st.cell_summary(_students(arrays["scores"])).set_index(["config_id", "task"])
    for name, column in (
        ("mean", "mean"),
        ("std", "std"),
        ("ci95_low", "low"),
        ("ci95_high", "high"),
        ("n", "n"),
    ):
        golden_case.assert_tensor(
            cells[column].unstack("task").to_numpy(), arrays[f"expected.cell_{name}"], f"cell {name}"
        )


@pytest.mark.golden("statistics")
def test_means_over_tasks_with_t_intervals(golden_case: GoldenCase) -> None:
    means = _needed(golden_case, "macro_mean")
    table = st.scores_table(_students(golden_case.arrays()["scores"])).set_index("config_id").sort_index()
    assert table["complete"].all()
    golden_case.assert_tensor(table["mean"].to_numpy(), means, "macro mean")
    golden_case.assert_tensor(table["std"].to_numpy(), golden_case.expected["macro_std"], "macro std")
    intervals = golden_case.expected["macro_ci95_t"]
    golden_case.assert_tensor(table[["low", "high"]].to_numpy(), intervals, "macro t interval")


@pytest.mark.golden("statistics")
def test_bootstrap_over_seeds(golden_case: GoldenCase) -> None:
    want = _needed(golden_case, "macro_ci95_bootstrap")
    arrays = golden_case.arrays()
    scores = st.student_scores(_students(arrays["scores"])).pivot(
        index="config_id", columns="distil_seed", values="score"
    )
    low, high = st.percentile_interval(
        st.bootstrap_means(scores.to_numpy(), arrays["bootstrap_seed_indices"])
    )
    golden_case.assert_tensor(np.stack([low, high], axis=1), want, "bootstrap interval")


@pytest.mark.golden("statistics")
def test_resamples_are_those_of_the_stated_generator(golden_case: GoldenCase) -> None:
    arrays = golden_case.arrays()
    for name, convention in (
        ("bootstrap_seed_indices", "bootstrap"),
        ("bootstrap_task_indices", "paired_bootstrap"),
    ):
        seed = re.search(r"PCG64\((\d+)\)", golden_case.document["conventions"].get(convention, ""))
        if seed is None:
            pytest.skip("this case states no generator")
        resamples, units = arrays[name].shape
        assert np.array_equal(st.resample_indices(units, resamples, int(seed[1])), arrays[name])


@pytest.mark.golden("statistics")
def test_paired_bootstrap_over_tasks(golden_case: GoldenCase) -> None:
    want = _needed(golden_case, "paired_bootstrap_over_tasks")
    arrays = golden_case.arrays()
    means = st.task_means(_students(arrays["scores"]))
    for key, values in want.items():
        a, b = _pair(key)
        got = st.paired_bootstrap((means.loc[a] - means.loc[b]).to_numpy(), arrays["bootstrap_task_indices"])
        golden_case.assert_scalar(got.low, values["ci95"][0], f"{key} low", atol=DIFFERENCE_ATOL)
        golden_case.assert_scalar(got.high, values["ci95"][1], f"{key} high", atol=DIFFERENCE_ATOL)
        golden_case.assert_scalar(got.p_two_sided_centred, values["p_two_sided_centred"], f"{key} p")


@pytest.mark.golden("statistics")
def test_friedman_with_average_ranks(golden_case: GoldenCase) -> None:
    want = _needed(golden_case, "friedman")
    arrays = golden_case.arrays()
    means = st.task_means(_students(arrays["scores"]))
    golden_case.assert_tensor(st.average_ranks(means).to_numpy(), arrays["expected.ranks"], "ranks")
    got = st.friedman(means)
    golden_case.assert_scalar(got.statistic, want["statistic"], "Friedman statistic")
    golden_case.assert_scalar(got.p, want["p"], "Friedman p")
    golden_case.assert_tensor(got.average_ranks.to_numpy(), want["average_ranks"], "average ranks")
    critical = want["nemenyi_critical_difference_0_05"]
    assert abs(got.critical_difference - critical) <= golden_case.tolerance["nemenyi_rtol"] * critical


@pytest.mark.golden("statistics")
def test_wilcoxon_with_holm(golden_case: GoldenCase) -> None:
    want = _needed(golden_case, "wilcoxon_over_tasks")
    pairs = (
        st.wilcoxon_pairs(st.task_means(_students(golden_case.arrays()["scores"])))
        .set_index(["a", "b"])
        .to_dict("index")
    )
    assert {_pair(key) for key in want} == set(pairs)
    for key, values in want.items():
        got = pairs[_pair(key)]
        for name in ("W", "p", "p_holm"):
            golden_case.assert_scalar(got[name], values[name], f"{key} {name}")
        assert bool(got["reject"]) == values["reject_at_0_05"]
        assert got["n_nonzero"] == values.get("n_nonzero", got["n_nonzero"])
