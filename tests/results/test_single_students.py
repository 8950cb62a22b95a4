"""Boards of one seed: trained students beside their undistilled control, over examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.single_students import beside_controls
from harness.results import predictions
from harness.results.store import Store

from .boards import Board, write_folders
from .ingredients import QUICK

METHODS = ("scratch", "od", "hs-uniform", "minilmv2")


def _store(folder: Path, board: Board) -> Store:
    write_folders(folder, board, predictions=True)
    store = Store(folder / "results.duckdb")
    store.ingest(folder)
    return store


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Store:
    board = Board(
        methods=METHODS, students=("6L-384", "3L-192"), seeds=(1,), tasks=QUICK, rows=400, measured=False
    )
    return _store(tmp_path_factory.mktemp("single"), board)


def test_every_method_stands_beside_the_control_of_its_shape(single: Store) -> None:
    board = read_board(single)
    told = beside_controls(single, board, Filters(suite="NLI"))
    named = [(one.student, one.control, one.examples) for one in told]
    assert named == [("3L-192", "scratch", 400), ("6L-384", "scratch", 400)]
    for one in told:
        assert {found.method for found in one.apart} == set(METHODS[1:])
        order = [found.difference for found in one.apart]
        assert order == sorted(order, reverse=True)


def test_differences_are_those_of_the_shares_of_right_answers(single: Store) -> None:
    board = read_board(single)
    [one] = [one for one in beside_controls(single, board, Filters(suite="NLI")) if one.student == "3L-192"]
    trials = single.frame(
        "SELECT t.trial_id, m.method FROM trials t JOIN models m USING (model_key) "
        "WHERE t.kind = 'finetune' AND t.task = 'snli' AND m.student = '3L-192'"
    )
    right = {}
    for trial, method in trials.itertuples(index=False):
        rows = predictions.read(single.runs_dir / trial / "predictions.parquet")
        rows = rows[rows["split"] == "test"]
        right[method] = (rows["label"] == rows["prediction"]).to_numpy().astype(float)
    for row in one.apart:
        apart = right[row.method] - right["scratch"]
        assert row.difference == pytest.approx(apart.mean())
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        assert row.low == pytest.approx(apart.mean() - 2.5 * error, abs=1.2 * error)
        assert (row.low > 0 or row.high < 0) == ("not told apart" not in _of(one.sentence, row.method))


def _of(sentence: str, method: str) -> str:
    """What a sentence says of one method."""
    return sentence.partition(f" {method} ")[2].partition(")")[0]


def test_seeds_or_no_control_leave_nothing_to_say(tmp_path: Path) -> None:
    several = _store(
        tmp_path / "a",
        Board(methods=METHODS[:2], students=("3L-192",), seeds=(1, 2), tasks=QUICK[:1], rows=50),
    )
    assert beside_controls(several, read_board(several), Filters(suite="NLI")) == []
    alone = _store(
        tmp_path / "b", Board(methods=METHODS[1:], students=("3L-192",), seeds=(1,), tasks=QUICK[:1], rows=50)
    )
    assert beside_controls(alone, read_board(alone), Filters(suite="NLI")) == []
