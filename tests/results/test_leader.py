"""What is said at a glance is true on odd boards: who is first, one row a method and student, how to get its student."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.ranking import statistics
from harness.ranking.board import Board as Results
from harness.ranking.board import read_board
from harness.ranking.cells.one_setting import one_setting_each
from harness.ranking.cells.scope import Filters
from harness.ranking.glance.leader import compared_in_words, leader_sentence
from harness.ranking.glance.reuse import best_by_dev, students_of
from harness.ranking.render.language_names import languages_in_words

from .boards import Board, write_store
from .ingredients import QUICK
from .test_odd_boards import ODD

ONE = Filters(one_setting=True)


@pytest.fixture(scope="module", params=ODD)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_board(write_store(tmp_path_factory.mktemp("odd") / "results.duckdb", *ODD[request.param]))


@pytest.mark.parametrize("filters", [Filters(), ONE])
def test_the_sentence_on_the_first_row_claims_what_the_ranks_hold(results: Results, filters: Filters) -> None:
    ranking = results.ranking(filters)
    ranked = ranking.ranked[ranking.ranked["mean"].notna()]
    said = leader_sentence(ranking, {row: f"[{row}]" for row in ranking.table["config_id"]})
    assert re.search(r"\d+ seeds?\b", said), said
    first = ranked.iloc[0]
    assert f"**[{first['config_id']}]**" in said
    assert ("surely above" in said) == (
        len(ranked) > 1 and bool(first["complete"]) and first["worst_rank"] == 1
    ), said
    if re.search(r"(has|shares) the highest mean \(", said):
        assert first["mean"] == ranked["mean"].max()
    if first["complete"] and first["n"] > 1 and len(ranked) > 1:
        assert len(ranking.level(ranked["config_id"])) == first["worst_rank"] - 1
    if first["n"] == 1 and len(ranked) > 1 and first["complete"]:
        assert "another seed may reverse" in said
    assert ("No row is complete" in said) == (not ranked["complete"].astype(bool).any())


def test_one_row_is_left_of_each_method_and_student_trained_alike(results: Results) -> None:
    every, one = results.ranking(), results.ranking(ONE)
    keys = ["method", "student", "teacher", "language", "stratum"]
    assert not one.ranked.duplicated(keys).any()
    assert set(map(tuple, one.ranked[keys].astype(str).to_numpy())) == set(
        map(tuple, every.ranked[keys].astype(str).to_numpy())
    )
    assert one.ranked["tried"].sum() == every.ranked["tried"].sum()
    assert results.answers(ONE) == results.answers()


def test_the_row_that_is_left_has_the_best_dev_score_and_its_ranks_hold_for_all_settings(
    tmp_path: Path,
) -> None:
    board = Board(students=("3L-192",), distil_rates=(3e-4, 6e-4, 1e-3), tasks=QUICK, noise=0.003)
    results = read_board(write_store(tmp_path / "results.duckdb", board))
    every, one = results.ranking(), results.ranking(ONE)
    dev = every.students.groupby("config_id", observed=True)["dev_value"].mean()
    table = every.ranked.assign(dev=every.ranked["config_id"].map(dev))
    best = table.loc[table.groupby("method")["dev"].idxmax(), "config_id"]
    assert set(one.ranked["config_id"]) == set(best)
    assert one.ranked["variant"].str.contains("best of 3 settings by dev").all()
    tested = statistics.rank(results.scope(ONE).scores)
    above = {
        (tested.table["config_id"][i], tested.table["config_id"][j])
        for i, j in zip(*np.nonzero(tested.above), strict=True)
    }
    assert above
    for row in one.ranked.to_dict("records"):
        name = row["config_id"]
        assert row["best_rank"] == 1 + sum((other, name) in above for other in best)
        assert row["worst_rank"] == len(best) - sum((name, other) in above for other in best)
    assert one.ranked["rank"].tolist() == [1, 2, 3, 4]


def test_without_dev_scores_no_setting_is_chosen(tmp_path: Path) -> None:
    results = read_board(write_store(tmp_path / "results.duckdb", *ODD["several settings"]))
    scope = results.scope(ONE)
    assert one_setting_each(scope)["settings"].tolist() == [2] * 4
    unknown = replace(scope, students=scope.students.assign(dev_value=np.nan))
    assert one_setting_each(unknown)["settings"].tolist() == [1] * 8


def test_what_is_compared_is_counted_and_spelled_out(tmp_path: Path) -> None:
    results = read_board(write_store(tmp_path / "results.duckdb", *ODD["two shapes"]))
    assert compared_in_words(results.ranking(), None) == (
        "All suites, 2 tasks: 3 methods of distillation in 2 student shapes, taught by minilm-l6 on text in English: output "
        "distribution (OD), hidden states (HS), multi-head attention (MHA) and controls."
    )
    assert compared_in_words(results.ranking(Filters(family=("none",))), None) == ""
    assert [languages_in_words(one) for one in ("en", "de+en", "xnli15", "xx")] == [
        "English", "German and English", "15 languages (xnli15)", "xx",
    ]  # fmt: skip


def test_the_student_to_take_is_the_best_by_dev_with_every_task(results: Results) -> None:
    ranking = results.ranking()
    for row in ranking.ranked["config_id"]:
        students = students_of(ranking, row)
        if students.empty:
            continue
        best = best_by_dev(students)
        whole = students[students["score"].notna()]
        rivals = whole if len(whole) else students
        assert best["dev"] == rivals["dev"].max()
