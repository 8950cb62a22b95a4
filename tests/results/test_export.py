"""Exports say what the ranking says, in every format; reports and garbage collection read from the same place."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from harness.errors import InputError
from harness.ranking.across_tasks import across_tasks
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.published import PROTOCOLS, protocol_in_words, published, why_not_comparable
from harness.ranking.render.exports import FORMATS, export, top_rows
from harness.ranking.render.report import render_report
from harness.ranking.render.trials import render_status, render_trial
from harness.records.folder import trial_folders
from harness.records.trial import Trial
from harness.results.gc import garbage, remove
from harness.results.store import Store

from . import boards
from .boards import Board, write_store
from .ingredients import GLUE, QUICK


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A board with a gap and a failure."""
    board = Board(tasks=GLUE, gaps={"od": "rte"}, fail={"hs-uniform": "nan"}, distil_rates=(3e-4, 6e-4))
    return write_store(tmp_path_factory.mktemp("export") / "results.duckdb", board)


@pytest.fixture(scope="module")
def board(store: Store) -> Ranking:
    """Its ranking."""
    return read_board(store).ranking(Filters(suite="GLUE"))


def test_programs_read_back_the_numbers_of_the_ranking(board: Ranking) -> None:
    frames = {
        "csv": pd.read_csv(io.BytesIO(export(board, "csv"))),
        "parquet": pd.read_parquet(io.BytesIO(export(board, "parquet"))),
        "json": pd.DataFrame(json.loads(export(board, "json"))["rows"]),
    }
    for name, frame in frames.items():
        assert frame["config_id"].astype(str).tolist() == board.table["config_id"].tolist(), name
        pd.testing.assert_series_equal(
            frame["mean"].astype(float), board.table["mean"], check_names=False, atol=1e-9
        )
        assert frame["task:rte"].isna().sum() == frame["missing"].eq("rte").sum() == 4


def test_programs_read_back_the_test_over_tasks(board: Ranking) -> None:
    across = across_tasks(board)
    assert across is not None
    table = pd.read_csv(io.BytesIO(export(board, "csv")), dtype={"config_id": str}).set_index("config_id")
    ranks = table["average_rank"].dropna()
    assert ranks.to_dict() == pytest.approx(across.friedman.average_ranks.to_dict())
    assert table.loc[ranks.index, "friedman_p"].to_numpy() == pytest.approx(across.friedman.p)
    written = json.loads(export(board, "json"))["friedman"]
    assert (written["configurations"], written["tasks"]) == across.means.shape
    assert written["critical_difference"] == pytest.approx(across.friedman.critical_difference)


def test_what_cannot_be_told_from_the_best_is_bold_with_it_and_a_single_seed_never() -> None:
    def scores(*rows: tuple[float, float, int]) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=["mean", "std", "n"])
        return frame.assign(config_id=[f"r{index}" for index in frame.index], complete=True, constant=False)

    clear = scores((0.9, 0.001, 5), (0.8, 0.001, 5), (0.7, 0.001, 5))
    assert top_rows(clear) == {"r0"}
    assert top_rows(scores((0.9, 0.05, 3), (0.89, 0.05, 3), (0.2, 0.001, 5))) == {"r0", "r1"}
    assert top_rows(scores((0.95, float("nan"), 1), (0.9, 0.001, 5), (0.8, 0.001, 5))) == {"r1"}
    assert top_rows(scores((0.95, float("nan"), 1), (0.9, float("nan"), 1))) == set()
    assert top_rows(clear.assign(complete=[False, True, True])) == {"r1"}
    known = scores((0.9, float("nan"), 1), (0.89, 0.05, 3), (0.2, 0.001, 5)).assign(
        constant=[True, False, False]
    )
    assert top_rows(known) == {"r0", "r1"}


def test_an_unknown_format_is_refused_with_the_nearest(board: Ranking) -> None:
    assert set(FORMATS) == {"csv", "parquet", "json", "markdown"}
    with pytest.raises(InputError, match="did you mean 'markdown'"):
        export(board, "markdow")


def _printed(renderable: object) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_the_terminal_report_shows_ranks_teachers_and_gaps(store: Store) -> None:
    text = _printed(render_report(store, read_board(store)))
    assert "MHA and HS cannot be compared on GLUE for 6L-384: HS has no complete configuration" in text
    assert text.count("1 of 3 seeds failed: nan") == 4
    assert len(re.findall(r"missing rte", text)) == 4
    assert "prepared" in text
    assert "as shipped" in text


def test_the_terminal_report_cuts_long_rankings_and_says_so(store: Store) -> None:
    board = read_board(store)
    whole, cut = (_printed(render_report(store, board, most_rows=most)) for most in (None, 1))
    assert "more: `harness export`" not in whole
    ranked = len(board.ranking(Filters(suite="GLUE")).ranked)
    assert f"… {ranked - 1} more: `harness export`" in cut
    assert len(cut) < len(whole)


def test_status_counts_trials_and_names_failures(store: Store) -> None:
    text = _printed(render_status(store))
    assert len(re.findall(r"became nan at step 700", text)) == 4


def test_a_trial_is_found_by_how_its_id_begins(store: Store) -> None:
    trial_id = store.frame("SELECT trial_id FROM trials WHERE kind = 'finetune' ORDER BY 1")["trial_id"].iloc[
        0
    ]
    assert trial_id in _printed(render_trial(store, trial_id[:10]))
    with pytest.raises(InputError, match="no trial's id starts with"):
        render_trial(store, "zzzz")
    with pytest.raises(InputError, match="give more digits"):
        render_trial(store, "")


def test_nothing_scored_yet_is_said_so(tmp_path: Path) -> None:
    empty = Store(tmp_path / "results.duckdb")
    empty.plan([])
    assert "Nothing has been scored yet" in _printed(render_report(empty, read_board(empty)))


def test_garbage_is_what_no_result_needs(tmp_path: Path) -> None:
    boards.write_folders(tmp_path, Board(tasks=QUICK[:1], students=("3L-192",), seeds=(1,), running=("od",)))
    trials: dict[str, Trial] = {f.path.name: f.read_trial() for f in trial_folders(tmp_path)}  # type: ignore[misc]
    for folder in trial_folders(tmp_path):
        if trials[folder.path.name].kind in ("distil", "prepare"):
            for part in (folder.model, folder.checkpoint):
                part.mkdir()
                (part / "data").write_bytes(b"0" * 1000)
    done = {f.path.name for f in trial_folders(tmp_path) if f.read_result()}
    assert {one.path.name for one in garbage(tmp_path)} == {"checkpoint"}
    found = garbage(tmp_path, weights=True)
    assert {one.path.parent.name for one in found if one.path.name == "checkpoint"} == {
        name for name in done if trials[name].kind in ("distil", "prepare")
    }
    models = {one.path.parent.name for one in found if one.path.name == "model"}
    assert {one.path.name for one in found if one.on_board} == {"model"}
    assert models == {name for name in done if trials[name].kind == "distil"}
    waiting = next(
        t for t in trials.values() if t.kind == "finetune" and t.parents and t.parents[0] in models
    )
    pending = waiting.model_copy(update={"id": "f" * 16})
    assert waiting.parents[0] not in {
        one.path.parent.name for one in garbage(tmp_path, [pending], weights=True) if one.path.name == "model"
    }
    assert remove(found) == 1000 * len(found)
    assert garbage(tmp_path, weights=True) == []
    assert {f.path.name for f in trial_folders(tmp_path) if f.read_result()} == done


def test_published_figures_have_a_source_and_are_compared_only_with_their_like() -> None:
    groups = published()
    assert all(group.url.startswith("https://") for group in groups)
    glue = groups[0]
    assert glue.models.set_index("shape").loc["6L-384", "cola"] == 47.5
    ours = pd.DataFrame(
        {
            "task": ["cola", "sst2"], "split": ["dev", "test"], "metrics": ["matthews", "accuracy"],
            "languages": 1, "rows": 1043, "train_rows": [None, None], "eval_rows": [None, None],
            "dev_rows": [None, None], "select_on": "dev",
        }
    )  # fmt: skip
    assert why_not_comparable(glue, "cola", ours) == ""
    assert why_not_comparable(glue, "sst2", ours) == "ours reports test, theirs dev"
    assert why_not_comparable(glue, "rte", ours) == "not evaluated here"
    assert (
        why_not_comparable(glue, "cola", ours.assign(train_rows=500.0)) == "ours was fine-tuned on 500 rows"
    )
    for part in ("eval_rows", "dev_rows"):
        assert why_not_comparable(glue, "cola", ours.assign(**{part: 300.0})) == (
            "ours is scored on part of dev, at most 300 rows a language"
        )
    other_split = pd.concat([ours, ours.assign(split="train_holdout")])
    assert why_not_comparable(glue, "cola", other_split) == "ours reports dev, train_holdout, theirs dev"
    assert protocol_in_words("cola", ours) == "matthews on dev (1,043 rows), settings chosen on dev"


def test_the_protocol_of_stored_scores_is_read_with_its_rows(store: Store) -> None:
    ours = store.frame(PROTOCOLS)
    assert set(ours["task"]) == {task.name for task in GLUE}
    assert set(ours["split"]) == {"test"}
    assert protocol_in_words("mrpc", ours).startswith("mean of accuracy and f1 on test (1,000 rows)")
    assert why_not_comparable(published()[0], "cola", ours) == "ours reports test, theirs dev"
