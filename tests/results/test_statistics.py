"""Statistics: what is averaged over what, what is flagged, and agreement with SciPy and statsmodels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st_
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.ranking import statistics as st


def students(scores: Mapping[str, Sequence[Sequence[float | None]]]) -> pd.DataFrame:
    """Long frame from {configuration: [students][tasks]}; tasks are t0, t1, ...; None leaves a score out."""
    rows = [
        (config, seed, f"t{task}", value)
        for config, table in scores.items()
        for seed, row in enumerate(table)
        for task, value in enumerate(row)
        if value is not None
    ]
    return pd.DataFrame(rows, columns=["config_id", "distil_seed", "task", "value"])


def one_task(scores: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Long frame from {configuration: [students]} on one task."""
    return students({config: [[value] for value in values] for config, values in scores.items()})


def board(scores: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Scores table of {configuration: [students]} on one task."""
    return st.scores_table(one_task(scores))


def test_an_undefined_score_is_no_excuse_to_average_over_the_rest() -> None:
    row = st.scores_table(students({"c": [[0.9, math.nan]]})).iloc[0]
    assert math.isnan(row["mean"])
    assert row["missing"] == ("t1",)


def test_a_student_that_lacks_a_task_is_left_out_and_named() -> None:
    table = st.scores_table(
        students({"a": [[0.5, 0.7], [0.6, None], [0.7, 0.9]], "b": [[0.9, None]], "c": [[0.1, 0.2]]})
    )
    assert table["config_id"].tolist() == ["a", "c", "b"]
    assert table["n"].tolist() == [2, 1, 0]
    assert table["students"].tolist() == [3, 1, 1]
    assert table["complete"].tolist() == [False, True, False]
    assert table["missing"].tolist() == [("t1",), (), ("t1",)]
    assert table["mean"].tolist()[:2] == pytest.approx([0.7, 0.15])
    assert math.isnan(table["mean"].tolist()[2])  # 0.9 on one task of two is no score of the board


def test_a_task_nobody_has_makes_every_row_incomplete_and_others_may_be_left_out_knowingly() -> None:
    frame = students({"a": [[0.5, 0.7]], "b": [[0.6, 0.4]]})
    assert st.scores_table(frame, ["t0", "t9"])["missing"].tolist() == [("t9",), ("t9",)]
    only = st.scores_table(frame, ["t0"])
    assert only["mean"].tolist() == [0.6, 0.5]


def test_one_student_has_a_mean_and_no_interval() -> None:
    for pooled in (False, True):
        table = st.scores_table(one_task({"one": [0.5], "many": [0.1, 0.2]}), pooled=pooled).iloc[0]
        assert table["config_id"] == "one"
        assert table[["std", "low", "high"]].isna().all()
        assert table["interval"] == "none: one student"


def test_intervals_equal_those_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(4, 6))
    summary = st.summarise(values)
    for row, x in zip(summary.to_dict("records"), values, strict=True):
        want = stats.ttest_1samp(x, 0).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx(tuple(want))
    pooled = st.summarise(values, pooled=True)
    squares = stats.f_oneway(*values)  # its denominator is the pooled variance
    between = 6 * values.mean(axis=1).var(ddof=1)
    half = stats.t.ppf(0.975, 20) * math.sqrt(between / squares.statistic / 6)
    assert (pooled["high"] - pooled["mean"]).to_numpy() == pytest.approx(half)


def test_retention_is_the_mean_over_tasks_of_ratios_above_guessing() -> None:
    teacher = pd.DataFrame({"task": ["t0", "t1"], "value": [0.5, 1.0]})
    none = pd.Series({"t0": 0.0, "t1": 0.0})
    half = students({"a": [[0.5, 0.5]]})
    assert st.scores_table(st.retention(half, teacher, none))["mean"].tolist() == [0.75]
    guess = pd.Series({"t0": 0.25, "t1": 0.5})
    assert st.retention(half, teacher, guess)["value"].tolist() == pytest.approx([1.0, 0.0])
    assert st.retention(students({"a": [[0.25, 0.4]]}), teacher, guess)["value"].tolist() == pytest.approx(
        [0.0, -0.2]
    )
    useless = pd.DataFrame({"task": ["t0", "t1"], "value": [0.5, 0.5]})
    assert st.scores_table(st.retention(half, useless, guess))["missing"].tolist() == [("t1",)]


def test_retention_uses_each_configurations_own_teacher_and_refuses_two() -> None:
    teacher = pd.DataFrame({"config_id": ["a", "b"], "task": "t0", "value": [0.5, 0.8]})
    guess = pd.Series({"t0": 0.2})
    kept = st.retention(one_task({"a": [0.4], "b": [0.4]}), teacher, guess)
    assert kept["value"].tolist() == pytest.approx([2 / 3, 1 / 3])
    with pytest.raises(ValueError, match="more than one"):
        st.retention(kept, teacher.drop(columns="config_id"), guess)


@pytest.mark.parametrize("tests", [0, 1, 2, 15, 105])
def test_holm_equals_statsmodels_on_the_tests_that_were_made(tests: int) -> None:
    p = np.random.default_rng(tests).random(tests) ** 3
    p[1::4] = p[::4][: len(p[1::4])]  # ties
    p[2::5] = math.nan
    made = ~np.isnan(p)
    want = multipletests(p[made], method="holm")[1] if made.any() else []
    assert st.holm(p)[made] == pytest.approx(want, rel=1e-12)
    assert np.isnan(st.holm(p)[~made]).all()
    smaller = np.sort(p[made])[: made.sum() // 2]  # the others are told by their number alone
    assert st.holm(smaller, larger=int(made.sum()) - len(smaller)) == pytest.approx(
        np.sort(want)[: len(smaller)], rel=1e-12
    )


def test_a_separable_board_has_exact_ranks_and_an_inseparable_one_full_ranges() -> None:
    apart = one_task({"a": [0.9, 0.91, 0.92], "b": [0.5, 0.51, 0.52], "c": [0.1, 0.11, 0.12]})
    ranking = st.rank(st.scores_table(apart))
    assert ranking.table[["rank", "best_rank", "worst_rank"]].to_numpy().tolist() == [
        [1] * 3,
        [2] * 3,
        [3] * 3,
    ]
    assert ranking.groups == (("a",), ("b",), ("c",))
    near = one_task({"a": [0.4, 0.5, 0.6], "b": [0.39, 0.5, 0.6], "c": [0.4, 0.5, 0.55]})
    ranking = st.rank(st.scores_table(near))
    assert ranking.table["best_rank"].tolist() == [1, 1, 1]
    assert ranking.table["worst_rank"].tolist() == [3, 3, 3]
    assert len(ranking.groups) == 1
    assert len(ranking.groups[0]) == 3


def test_groups_overlap_where_a_middle_row_belongs_to_both_sides() -> None:
    chain = one_task({"a": [0.9, 0.92, 0.94], "m": [0.5, 0.7, 0.95], "z": [0.4, 0.42, 0.44]})
    ranking = st.rank(st.scores_table(chain))
    assert ranking.groups == (("a", "m"), ("m", "z"))
    assert ranking.table["best_rank"].tolist() == [1, 1, 2]
    assert ranking.table["worst_rank"].tolist() == [2, 3, 3]


def test_with_one_student_each_nothing_is_separable_and_the_table_says_so() -> None:
    ranking = st.rank(st.scores_table(one_task({"a": [0.9], "b": [0.1]})))
    assert "Holm over 0 pairs" in ranking.test
    assert ranking.groups == (("a", "b"),)
    assert ranking.table["worst_rank"].tolist() == [2, 2]
    assert set(ranking.table["not_separable_because"]) == {"one student: its spread is unknown"}


def test_equal_means_share_their_rank_and_a_row_without_a_mean_has_none() -> None:
    frame = students({"a": [[0.5, 0.5]], "b": [[0.4, 0.6]], "c": [[0.1, 0.1]], "d": [[0.9, None]]})
    table = st.rank(st.scores_table(frame)).table
    assert table["rank"].tolist()[:3] == [1, 1, 3]
    assert table.loc[3, ["rank", "best_rank", "worst_rank"]].isna().all()
    assert table["worst_rank"].tolist()[:3] == [3, 3, 3]


def test_students_that_all_score_the_same_prove_nothing_alone_but_may_with_a_pooled_variance() -> None:
    frame = one_task({"a": [0.9] * 3, "b": [0.1] * 3, "c": [0.2, 0.21, 0.22]})
    table = st.scores_table(frame)
    assert not st.rank(table).above[0, 2]  # a and b: no variance on either side
    assert st.rank(table, pooled=True).above[0, 2]


def test_an_empty_board_gives_an_empty_ranking() -> None:
    empty = one_task({})
    assert st.rank(st.scores_table(empty, ["t0"])).groups == ()


def test_the_unpaired_error_is_that_of_scipy_with_one_degree_of_freedom_fewer() -> None:
    a, b = [0.5, 0.52, 0.57], [0.41, 0.5, 0.44, 0.46, 0.3]
    rows = board({"a": a, "b": b}).set_index("config_id")
    found = st.unpaired_difference(rows.loc["a"], rows.loc["b"])
    want = stats.ttest_ind(a, b, equal_var=False)
    error = found.difference / want.statistic
    degrees = max(want.df - 1, 2)
    assert found.high - found.difference == pytest.approx(stats.t.ppf(0.975, degrees) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(want.statistic), degrees))
    for questions in (2, 6):
        corrected = st.unpaired_difference(rows.loc["a"], rows.loc["b"], questions=questions)
        assert corrected.p == pytest.approx(min(1, questions * found.p))


def test_the_paired_difference_is_that_of_scipy_over_the_seeds_in_common() -> None:
    a = pd.Series([0.5, 0.52, 0.57, 0.9], index=[1, 2, 3, 9])
    b = pd.Series([0.41, 0.5, 0.44, 0.2], index=[3, 2, 1, 8])
    found = st.paired_difference(a, b)
    want = stats.ttest_rel([0.5, 0.52, 0.57], [0.44, 0.5, 0.41])
    assert found.p == pytest.approx(want.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(want.confidence_interval(0.95)))
    assert found.seeds == (3, 3)
    assert st.paired_difference(a, b.loc[[3]]).no_interval_because == "one seed in common"
    assert math.isnan(st.paired_difference(a, b.loc[[8]]).difference)
    assert st.paired_difference(a, a + 0.1).no_interval_because == "students that all differ by the same"


FAMILIES = {"m1": "MHA", "m2": "MHA", "h1": "HS", "h2": "HS"}


def test_a_clear_lead_is_told_with_its_interval_and_its_seeds() -> None:
    table = board({"m1": [0.80, 0.81, 0.82, 0.81, 0.80], "h1": [0.70, 0.71, 0.72, 0.71, 0.70]})
    found = st.compare_families(table, FAMILIES, "HS", "MHA")
    sentence = st.family_sentence(found, "XNLI", "with 2,000 steps")
    assert (
        sentence == "MHA is ahead of HS by 10.0 points (8.7 to 11.3) on XNLI with 2,000 steps, 5 seeds each."
    )
    assert (100 * -found.high, 100 * -found.low) == pytest.approx((8.7, 11.3), abs=0.05)


def test_an_unclear_lead_is_told_as_no_lead() -> None:
    table = board({"m1": [0.80, 0.83], "m2": [0.7, 0.71], "h1": [0.79, 0.82, 0.80]})
    sentence = st.family_sentence(st.compare_families(table, FAMILIES, "MHA", "HS"), "XNLI")
    assert sentence.startswith("MHA and HS cannot be told apart on XNLI: MHA 1.2 points above HS (−")
    assert sentence.endswith(", 2 and 3 seeds of MHA and HS (best by dev of 2 MHA, of 1 HS).")


def test_one_seed_is_told_without_an_interval_and_an_incomplete_family_without_a_number() -> None:
    table = st.scores_table(students({"m1": [[0.9, 0.9]], "h1": [[0.8, 0.8]], "h2": [[0.99, None]]}))
    one = st.compare_families(table, FAMILIES, "MHA", "HS")
    assert not one.separable
    assert st.family_sentence(one, "GLUE") == (
        "MHA scores 10.0 points above HS on GLUE, 1 seed each (1 incomplete left out): no interval, and other "
        "seeds may reverse it."
    )
    none = st.compare_families(table[table["config_id"] != "h1"], FAMILIES, "MHA", "HS")
    assert st.family_sentence(none, "GLUE") == (
        "MHA and HS cannot be compared on GLUE: HS has no complete configuration (n = 1 and 0; 1 incomplete "
        "left out)."
    )


def test_a_choice_by_dev_scores_pays_like_one_by_the_scores_compared() -> None:
    rng = np.random.default_rng(3)
    table = board({config: list(rng.normal(0.5, 0.01, 4)) for config in FAMILIES})
    picked = st.compare_families(table, FAMILIES, "MHA", "HS")
    best = table.set_index("config_id")["mean"].groupby(FAMILIES).idxmax()
    chosen = {"MHA": best["MHA"], "HS": best["HS"]}
    assert st.compare_families(table, FAMILIES, "MHA", "HS", chosen=chosen) == picked
    alone = table[table["config_id"].isin(chosen.values())]
    assert picked.high - picked.low > 0
    only = st.compare_families(alone, FAMILIES, "MHA", "HS")
    assert only.difference == picked.difference
    assert only.candidates == (1, 1)
    several = st.compare_families(table, FAMILIES, "MHA", "HS", sentences=6)
    assert several.low < picked.low
    assert several.high > picked.high
    with pytest.raises(ValueError, match="not among"):
        st.compare_families(table, FAMILIES, "MHA", "HS", chosen={"MHA": "m1", "HS": "nobody"})


def test_an_unstable_configuration_cannot_hide_behind_the_stable_ones_of_its_family() -> None:
    steady = {f"m{i}": [0.5, 0.501, 0.502] for i in range(2, 8)}
    table = board({"m1": [0.5, 0.6, 0.7], "h1": [0.5, 0.501, 0.502]} | steady)
    families = {name: "MHA" if name.startswith("m") else "HS" for name in table["config_id"]}
    found = st.compare_families(table, families, "MHA", "HS")
    own = 0.1 / math.sqrt(3)
    assert found.configurations == ("m1", "h1")
    assert found.difference - found.low > stats.norm.ppf(1 - 0.025 / 7) * own
    assert not found.separable


def test_a_row_that_lost_students_comes_after_complete_ones_and_may_be_at_the_bottom() -> None:
    scores = {"a": [[0.5], [0.51], [0.52]], "b": [[0.4], [0.41], [0.42]], "lucky": [[0.9], [0.91], [None]]}
    frame = students(scores)
    frame = pd.concat([frame, pd.DataFrame([("lucky", 2, "t0", None)], columns=frame.columns)])
    ranking = st.rank(st.scores_table(frame.astype({"value": float})))
    assert ranking.table["config_id"].tolist() == ["a", "b", "lucky"]
    assert ranking.table["rank"].tolist() == [1, 2, 3]
    assert ranking.table["worst_rank"].tolist()[2] == 3
    assert not ranking.above[2].any()


def test_means_by_task_need_a_student_with_every_task() -> None:
    frame = students({"a": [[0.5, 0.7, 0.6]], "b": [[0.4, 0.8, None]]})
    with pytest.raises(ValueError, match="b has no student with every task; missing: t2"):
        st.task_means(frame)
    assert st.task_means(frame, ["t0", "t1"]).to_numpy().tolist() == [[0.5, 0.7], [0.4, 0.8]]


def test_a_bootstrap_of_one_unit_has_no_interval() -> None:
    assert math.isnan(st.paired_bootstrap([0.1], st.resample_indices(1)).low)


def test_wilcoxon_is_exact_without_ties_and_survives_equal_configurations() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=9)
    means = pd.DataFrame([a, a, a + rng.normal(size=9)], index=["a", "same", "other"])
    pairs = st.wilcoxon_pairs(means).set_index(["a", "b"]).to_dict("index")
    assert pairs["a", "same"]["p"] == 1.0
    assert pairs["a", "other"]["p"] == pytest.approx(
        stats.wilcoxon(means.loc["a"] - means.loc["other"]).pvalue
    )


def test_friedman_is_undefined_where_nothing_differs_or_two_are_compared() -> None:
    tied = pd.DataFrame(np.ones((3, 5)))
    assert math.isnan(st.friedman(tied).p)
    assert st.friedman(tied).average_ranks.tolist() == [2.0, 2.0, 2.0]
    assert math.isnan(st.friedman(tied.head(2)).statistic)


def test_scores_no_better_than_guessing_are_told_from_others_with_holm_over_the_languages_of_a_row() -> None:
    cells = pd.DataFrame(
        {
            "row_id": ["a", "a", "a", "b", "b", "c"],
            "task": "xnli",
            "language": ["en", "sw", "ur", "en", "sw", "en"],
            "value": [0.500, 0.380, 0.335, 0.340, 0.900, 0.990],
            "n": 1000,
            "no_information": [1 / 3] * 5 + [None],
        }
    )
    found = st.better_than_guessing(cells).set_index(["row_id", "language"])
    assert found["better"].to_dict() == {
        ("a", "en"): True, ("a", "sw"): True, ("a", "ur"): False, ("b", "en"): False, ("b", "sw"): True,
    }  # fmt: skip
    for row in ("a", "b"):
        alone = [
            stats.binomtest(round(1000 * value), 1000, 1 / 3, alternative="greater").pvalue
            for value in cells.loc[cells["row_id"] == row, "value"]
        ]
        assert found.loc[row, "p"].tolist() == pytest.approx(alone, rel=1e-9)
        assert found.loc[row, "p_holm"].tolist() == pytest.approx(st.holm(alone).tolist(), rel=1e-9)


def test_several_models_of_a_row_are_tested_by_their_mean_on_the_fewest_rows() -> None:
    cells = pd.DataFrame(
        {
            "row_id": "a", "task": "rte", "language": "en", "value": [0.50, 0.60], "n": [200, 100],
            "no_information": [0.5, 0.52],
        }
    )  # fmt: skip
    [p] = st.better_than_guessing(cells)["p"]
    assert p == pytest.approx(stats.binomtest(55, 100, 0.52, alternative="greater").pvalue)


def test_holm_within_families_equals_holm_of_each() -> None:
    rng = np.random.default_rng(0)
    p = pd.Series(rng.uniform(0, 0.05, size=300).round(3), index=rng.permutation(300))  # with ties
    families = [pd.Series(rng.integers(0, most, size=300), index=p.index) for most in (6, 5)]
    found = st.holm_within(p, families)
    for _, one in p.groupby(families):
        assert found[one.index].tolist() == pytest.approx(st.holm(one).tolist())
        assert found[one.index].tolist() == pytest.approx(multipletests(one, method="holm")[1].tolist())


@given(st_.integers(10, 500), st_.floats(0.5, 0.99))
def test_the_expanded_percentile_interval_of_normal_units_is_their_t_interval(
    units: int, level: float
) -> None:
    """On the normal curve that the resampled means of many units follow, with its variance of n - 1 in n."""
    half = stats.norm.ppf((1 + st.expanded(level, units)) / 2) * np.sqrt((units - 1) / units)
    assert half == pytest.approx(stats.t.ppf((1 + level) / 2, units - 1))
