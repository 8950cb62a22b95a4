"""The sentences with which pages open claim what the scores hold, and what is left out is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from harness.ranking.board import Board as Results
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.glance.not_shown import not_shown
from harness.ranking.glance.openings import languages_sentence, published_sentence, tasks_sentence
from harness.results.shipped_board import days_and_commits
from harness.results.store import Store

from .boards import Board, write_store
from .ingredients import GLUE, QUICK
from .test_odd_boards import ODD

CHOSEN = ("plain", "one seed", "failed seeds", "all equal", "single task", "gaps", "controls only")


@pytest.fixture(scope="module", params=CHOSEN)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_board(write_store(tmp_path_factory.mktemp("odd") / "results.duckdb", *ODD[request.param]))


def test_the_leader_on_most_tasks_leads_on_those_named(results: Results) -> None:
    ranking = results.ranking()
    complete = ranking.ranked.loc[ranking.ranked["complete"].astype(bool), "config_id"]
    said = tasks_sentence(ranking, {row: f"[{row}]" for row in ranking.table["config_id"]})
    if len(complete) < 2:
        assert said.startswith("Fewer than two complete rows")
        return
    found = re.match(
        r"\*\*\[(.+)\]\*\* has the highest mean on (?:\d+ of \d+ tasks? \((.+?)\)|(\S+))\.", said
    )
    assert found, said
    wide = ranking.per_task.pivot(index="config_id", columns="task", values="mean").loc[complete]
    for task in (found[2] or found[3]).split(", "):
        assert wide.loc[found[1], task] == wide[task].max()
    if (ranking.ranked["n"] < 2).all():
        assert "none of them" in said or "No row is" in said


def test_languages_are_summed_up_by_their_mean_outside_english() -> None:
    scores = pd.DataFrame({"en": [0.8, 0.7], "sw": [0.5, 0.6], "th": [0.5, 0.6]}, index=["a", "b"])
    labels = {"a": "A", "b": "B"}
    assert languages_sentence(scores, "xnli", labels) == (
        "**B** has the highest mean in the 2 languages other than English on xnli: 60.0 points, 10.0 below its English; "
        "all 2 complete rows lose 20.0 on average. Not tested: the page *Ranking*, "
        "with languages chosen beside it, tests the mean "
        "over them."
    )
    assert "in Swahili on xnli: 60.0" in languages_sentence(scores[["en", "sw"]], "xnli", labels)
    assert "below its English" not in languages_sentence(scores[["sw", "th"]], "xnli", labels)
    assert languages_sentence(scores[["en"]], "xnli", labels).startswith("No complete row")
    assert languages_sentence(scores.head(0), "xnli", labels).startswith("No complete row")


def test_published_groups_that_overlap_are_named_and_the_rest_counted() -> None:
    assert published_sentence(["a", "b", "c"], ["a"]) == (
        "*a* measures the same as rows of ours, which stand below it; 2 groups further down do not."
    )
    assert published_sentence(["a"], []).startswith("None of the 1 group ")


def test_what_is_left_out_is_counted_by_why(tmp_path: Path) -> None:
    store = write_store(
        tmp_path / "results.duckdb",
        Board(
            tasks=GLUE,
            distil_rates=(3e-4, 6e-4),
            fail={"od": "nan"},
            running=("minilmv2",),
            milestones=(500,),
        ),
        Board(tasks=QUICK, methods=("od",)),
    )
    board = read_board(store)
    every = board.ranking(Filters(suite="GLUE")).ranked
    shown = board.ranking(Filters(suite="GLUE", student=("3L-192",), one_setting=True)).ranked
    counts = store.frame(
        "SELECT count(*) AS all, count(*) FILTER (status = 'failed') AS failed, "
        "count(*) FILTER (status NOT IN ('ok', 'failed')) AS waiting FROM trials WHERE kind = 'distil'"
    ).iloc[0]
    half = len(every) // 2
    early = board.frames.models["milestone"].notna().sum()
    assert not_shown(board, Filters(suite="GLUE", student=("3L-192",), one_setting=True))[:4] == [
        f"{half} rows hidden by filters",
        f"{half - len(shown)} settings not chosen by dev scores",
        f"{early} intermediate students of earlier steps",
        f"of {counts['all']} students {counts['failed']} failed and {counts['waiting']} are not done",
    ]
    plain = read_board(write_store(tmp_path / "plain.duckdb", Board(tasks=QUICK)))
    assert not_shown(plain, Filters()) == []


def test_results_are_dated_and_name_their_commit(tmp_path: Path) -> None:
    store = write_store(tmp_path / "results.duckdb", Board(tasks=QUICK, methods=("od",)))
    assert re.fullmatch(r"2026-\d\d-\d\d, commit not recorded", days_and_commits(store))
    empty = Store(tmp_path / "empty.duckdb")
    empty.plan([])
    assert days_and_commits(empty) == ""
