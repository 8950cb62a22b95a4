"""Each interval covers its own estimand, and identical methods are rarely called different: 1,000 simulated boards each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import claims
from harness.ranking import statistics as st
from harness.ranking.compare import both_tests

BOARDS = 1000
FEWER_BOARDS = 300
"""Where a board is slow to judge, and the bound is one-sided and far."""
REPLICATES = [3, 5, 10]
TASKS = np.array([0.55, 0.7, 0.8, 0.9])
"""True score of every configuration on each task, to which its own offset is added."""


def simulate(offsets: np.ndarray, students: int, seed: int) -> pd.DataFrame:
    """Student means of len(offsets) configurations: a student's own offset (sd 1 point), noise on each task
    (half a point).
    """
    rng = np.random.default_rng(seed)
    shape = (len(offsets), students, len(TASKS))
    value = (
        TASKS + offsets[:, None, None] + rng.normal(0, 0.01, (*shape[:2], 1)) + rng.normal(0, 0.005, shape)
    )
    config, distil_seed, task = (axis.ravel() for axis in np.indices(shape))
    return pd.DataFrame(
        {"config_id": config, "distil_seed": distil_seed, "task": task, "value": value.ravel()}
    )


def boards(offsets: np.ndarray, students: int, each: int, seed: int) -> Iterator[pd.DataFrame]:
    """The scores table of `each` configurations at a time, in the order of `offsets`."""
    table = st.scores_table(simulate(offsets, students, seed)).sort_values("config_id")
    return (table.iloc[start : start + each] for start in range(0, len(offsets), each))


def share_covered(low: object, high: object, truth: object) -> float:
    return float(np.mean((np.asarray(low) <= np.asarray(truth)) & (np.asarray(truth) <= np.asarray(high))))


@pytest.mark.parametrize("students", REPLICATES)
def test_the_interval_of_a_row_covers_its_mean_over_the_fixed_tasks(students: int) -> None:
    offsets = np.random.default_rng(1).normal(0, 0.02, BOARDS)
    table = st.scores_table(simulate(offsets, students, seed=students))
    truth = TASKS.mean() + offsets[table["config_id"]]
    assert 0.93 <= share_covered(table["low"], table["high"], truth) <= 0.97


@pytest.mark.parametrize("students", REPLICATES)
def test_the_pooled_interval_covers_where_methods_share_a_variance(students: int) -> None:
    rng = np.random.default_rng(students)
    truth = rng.normal(0, 1, (BOARDS, 5))
    covered = []
    for means in truth:
        board = st.summarise(rng.normal(means[:, None], 0.7, (5, students)), pooled=True)
        covered.append(share_covered(board["low"], board["high"], means))
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("students", REPLICATES)
def test_the_interval_of_the_retention_covers_its_mean_for_the_given_teacher(students: int) -> None:
    offsets = np.random.default_rng(2).normal(0, 0.02, BOARDS)
    teacher = pd.DataFrame({"task": range(len(TASKS)), "value": TASKS + 0.05})
    table = st.scores_table(
        st.retention(
            simulate(offsets, students, seed=10 + students), teacher, pd.Series(0.0, index=teacher["task"])
        )
    )
    truth = ((TASKS + offsets[table["config_id"], None]) / (TASKS + 0.05)).mean(axis=1)
    assert 0.93 <= share_covered(table["low"], table["high"], truth) <= 0.97


@pytest.mark.parametrize("students", REPLICATES)
def test_the_interval_between_best_configurations_keeps_its_level_after_the_choice(students: int) -> None:
    covered = []
    for rows in boards(np.zeros(FEWER_BOARDS * 4), students, 4, seed=60 + students):
        family_of = dict(zip(rows["config_id"], "ABBB", strict=True))
        found = st.compare_families(rows, family_of, "A", "B")
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) >= 0.95


@pytest.mark.parametrize("examples", [100, 400])
def test_the_bootstrap_over_examples_covers_the_difference_of_two_given_models(examples: int) -> None:
    rng = np.random.default_rng(examples)
    hard = rng.random((BOARDS, examples))  # both models find the same examples hard
    a = hard + rng.normal(0, 0.2, hard.shape) < 0.8
    b = hard + rng.normal(0, 0.2, hard.shape) < 0.7
    many = rng.random(2_000_000)
    truth = np.mean(many + rng.normal(0, 0.2, many.shape) < 0.8) - np.mean(
        many + rng.normal(0, 0.2, many.shape) < 0.7
    )
    indices = st.resample_indices(examples)
    found = [st.paired_bootstrap(d, indices) for d in a.astype(float) - b]
    assert 0.93 <= share_covered([f.low for f in found], [f.high for f in found], truth) <= 0.97


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("students", REPLICATES)
def test_identical_methods_are_called_different_on_at_most_one_board_in_twenty(
    students: int, pooled: bool
) -> None:
    called = []
    for rows in boards(np.zeros(BOARDS * 6), students, 6, seed=30 + students):
        mean, std, n = (rows[column].to_numpy() for column in ("mean", "std", "n"))
        called.append(st.definitely_above(mean, std, n, pooled=pooled)[0].any())
    assert np.mean(called) <= 0.05


@pytest.mark.parametrize("students", REPLICATES)
def test_rank_ranges_hold_the_true_rank_of_every_row_at_once(students: int) -> None:
    offsets = np.array([0.06, 0.04, 0.039, 0.0, -0.001])
    held = []
    for rows in boards(np.tile(offsets, FEWER_BOARDS), students, 5, seed=40 + students):
        table = st.rank(rows).table
        true_rank = table["config_id"] % 5 + 1
        held.append(((table["best_rank"] <= true_rank) & (true_rank <= table["worst_rank"])).all())
    assert np.mean(held) >= 0.95


def test_wilcoxon_with_holm_calls_identical_methods_different_on_at_most_one_board_in_twenty() -> None:
    scores = np.random.default_rng(5).normal(size=(FEWER_BOARDS, 3, 9))
    assert np.mean([st.wilcoxon_pairs(pd.DataFrame(means))["reject"].any() for means in scores]) <= 0.05


def test_fifteen_languages_at_chance_are_called_better_with_a_probability_of_at_most_one_percent() -> None:
    languages, n, chance = 15, 100, 1 / 3
    others = [0] * (languages - 1)  # Holm's first step decides whether any language is called better
    called = [
        c
        for c in range(n + 1)
        if st.better_than_guessing(_one_row([c / n for c in (c, *others)], n, chance))["better"][0]
    ]
    one = stats.binom.pmf(called, n, chance).sum()
    assert 0.0 < 1 - (1 - one) ** languages <= 0.01


def _one_row(values: list[float], n: int, chance: float) -> pd.DataFrame:
    languages = [f"l{i}" for i in range(len(values))]
    row = {"row_id": "a", "task": "xnli", "n": n, "no_information": chance}
    return pd.DataFrame({"language": languages, "value": values}).assign(**row)


CLAIM_BOARDS = 4000


@pytest.mark.parametrize("condition", claims.grid(), ids=str)
def test_equal_families_are_rarely_called_different_however_they_were_chosen(
    condition: claims.FamilyBoards,
) -> None:
    wrong, _ = claims.family_claims(condition, CLAIM_BOARDS)
    assert not wrong.exceeds(0.05), wrong


@pytest.mark.parametrize("candidates", claims.CANDIDATES)
def test_wide_gaps_between_families_are_found(candidates: int) -> None:
    condition = claims.FamilyBoards(candidates, seeds=10, gap=3.0)
    wrong, ahead = claims.family_claims(condition, CLAIM_BOARDS)
    assert ahead.rate > 0.95
    assert not wrong.exceeds(0.05), wrong


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("seeds", claims.SEEDS)
def test_two_equal_rows_are_rarely_called_different(seeds: int, shared: float, paired: bool) -> None:
    for ratio in (1.0, claims.UNSTABLE):
        condition = claims.TwoRows(seeds, shared if paired else 0.0, ratio, paired)
        called = claims.compare_claims(condition, CLAIM_BOARDS)
        assert not called.exceeds(0.05), called


@pytest.mark.parametrize("rows", [20, 100])
def test_equally_good_students_are_rarely_called_different_on_parallel_rows(rows: int) -> None:
    called = claims.example_claims(FEWER_BOARDS, rows=rows)
    assert not called.exceeds(0.05), called


@pytest.mark.parametrize("paired", [False, True])
def test_simulated_rows_are_judged_as_real_ones(paired: bool) -> None:
    a, b = np.random.default_rng(9).normal(size=(2, 5))
    seeds = range(5) if paired else range(5, 10)
    decided, *_ = both_tests(pd.Series(a), pd.Series(b, index=seeds), questions=3)
    low, high, p = claims.interval_of_rows(a[None], b[None], 3, paired=paired)
    assert decided.test == ("paired" if paired else "unpaired")
    assert (decided.low, decided.high, decided.p) == pytest.approx((low[0], high[0], p[0]))


def test_simulated_boards_are_judged_as_frames_are() -> None:
    rng = np.random.default_rng(8)
    scores = {f"{family}{i}": rng.normal(0.7, 0.01, 4) for family in "ab" for i in range(3)}
    rows = [(row, seed, "t", value) for row, values in scores.items() for seed, value in enumerate(values)]
    table = st.scores_table(pd.DataFrame(rows, columns=["config_id", "distil_seed", "task", "value"]))
    found = st.compare_families(table, {row: row[0] for row in scores}, "a", "b", sentences=3)
    sides = [
        st.Representative(
            max(scores[f"{family}{i}"].mean() for i in range(3)),
            max(scores.items(), key=lambda item: (item[0][0] == family, item[1].mean()))[1].std(ddof=1),
            4,
            np.sqrt(np.mean([scores[f"{family}{i}"].var(ddof=1) for i in range(3)])),
            9,
            3,
        )
        for family in "ab"
    ]
    low, high, p = st.family_interval(*sides, sentences=3)
    assert (found.low, found.high, found.p) == pytest.approx((float(low), float(high), float(p)))
