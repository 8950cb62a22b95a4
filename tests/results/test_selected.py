"""The best of several distillation settings: by dev scores alone, the same number of them for every method."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.selected import best_by_dev, select
from harness.results.store import Store

from .boards import Board, write_folders

RATES = (3e-4, 1e-3, 3e-3)
OVER = ("learning_rate",)


def cells(dev: dict[str, list[dict[str, float | None]]], flags: tuple[str, ...] = ()) -> pd.DataFrame:
    """Row -> students -> task -> dev score, each task in two languages."""
    rows = [
        (row, f"{row} {number}", task, language, score, list(flags))
        for row, students in dev.items()
        for number, student in enumerate(students)
        for task, score in student.items()
        for language in ("de", "en")
    ]
    return pd.DataFrame(rows, columns=["row_id", "model_key", "task", "language", "dev_value", "flags"])


def rows(*names: str, method: str = "od") -> pd.DataFrame:
    frame = pd.DataFrame({"row_id": names})
    return frame.assign(method=method, student="s", teacher="t", language="en")


def test_dev_scores_are_averaged_over_tasks_then_students() -> None:
    assert best_by_dev(cells({"a": [{"x": 0.5, "y": 0.9}], "b": [{"x": 0.8, "y": 0.5}]})) == "a"
    assert best_by_dev(cells({"a": [{"x": 0.9}, {"x": 0.1}], "b": [{"x": 0.6}, {"x": 0.5}]})) == "b"


def test_a_failed_seed_gains_nothing_and_ties_go_to_the_lower_name() -> None:
    assert best_by_dev(cells({"a": [{"x": 0.9}], "b": [{"x": 0.6}, {"x": 0.5}]})) == "b"
    assert best_by_dev(cells({"b": [{"x": 0.5}], "a": [{"x": 0.5}]})) == "a"


def test_only_tasks_count_that_every_candidate_was_scored_on() -> None:
    dev = {"a": [{"x": 0.6, "easy": 1.0}], "b": [{"x": 0.7, "easy": None}]}
    assert best_by_dev(cells(dev)) == "b"
    assert best_by_dev(cells({"a": [{"x": 0.6}], "b": [{"y": 0.7}]})) is None
    assert best_by_dev(cells({"a": [{"x": 0.6}], "b": [{"x": None}]})) is None


scores = st.lists(st.floats(0, 1), min_size=2, max_size=5)


@settings(deadline=None, max_examples=30)
@given(scores, scores)
def test_the_chosen_one_has_the_highest_mean_of_those_that_compete(
    first: list[float], second: list[float]
) -> None:
    dev = {"a": [{"x": value} for value in first], "b": [{"x": value} for value in second]}
    means = {
        name: sum(values) / len(values)
        for name, values in (("a", first), ("b", second))
        if len(values) == max(len(first), len(second))
    }
    best = best_by_dev(cells(dev))
    assert best is not None
    assert means[best] == pytest.approx(max(means.values()))


def test_rows_compete_that_differ_in_nothing_else() -> None:
    of = {
        "a": {"learning_rate": 1e-3, "steps": 10},
        "b": {"learning_rate": 3e-3, "steps": 10},
        "c": {"learning_rate": 1e-3, "steps": 20},
        "d": {"learning_rate": 9e-3, "steps": 10},
    }
    everyone = pd.concat([rows("a", "b", "c"), rows("d", method="minilmv2")])
    selects = dict.fromkeys(of, OVER)
    scored = cells({name: [{"x": dev}] for name, dev in zip("abcd", (0.5, 0.6, 0.4, 0.3), strict=True)})
    chosen = select(everyone, scored, of, selects)
    assert chosen.dropped == {"a"}
    assert chosen.best_of == {"b": "learning_rate 0.003, best of 2 by dev"}
    assert select(everyone, scored, of, {}).dropped == frozenset()


def test_a_choice_on_the_rows_that_are_reported_says_so() -> None:
    of = {"a": {"learning_rate": 1e-3}, "b": {"learning_rate": 3e-3}}
    scored = cells({"a": [{"x": 0.5}], "b": [{"x": 0.6}]}, ("selected_on_reported_rows",))
    chosen = select(rows("a", "b"), scored, of, dict.fromkeys(of, OVER))
    assert chosen.best_of == {"b": "learning_rate 0.003, best of 2 by dev, on the reported rows"}


@pytest.mark.parametrize("milestones", [(), (500,)])
def test_a_board_shows_the_best_by_dev_of_every_method_and_says_of_how_many(
    tmp_path: Path, milestones: tuple[int, ...]
) -> None:
    methods = ("od", "hs-uniform", "minilmv2")
    board = Board(
        methods=methods, students=("3L-192",), distil_rates=RATES, noise=0.05, milestones=milestones
    )
    tables = {}
    for name, over in (("all", ""), ("best", "distil.learning_rate")):
        write_folders(tmp_path / name, Board(**{**vars(board), "select": over}))
        store = Store(tmp_path / f"{name}.duckdb")
        store.ingest(tmp_path / name)
        tables[name] = read_board(store)
    everything = tables["all"].ranking()
    dev = everything.scope.dev_means
    wanted = everything.ranked.assign(dev=everything.ranked["config_id"].map(dev))
    best = wanted.sort_values("dev").drop_duplicates("method", keep="last").set_index("method")
    shown = tables["best"].ranking().ranked.set_index("method")
    assert len(everything.ranked) == len(RATES) * len(methods)
    assert set(shown.index) == set(methods)
    assert shown["config_id"].to_dict() == best["config_id"].to_dict()
    assert shown["mean"].to_dict() == pytest.approx(best["mean"].to_dict())
    assert all(text.endswith(f", best of {len(RATES)} by dev") for text in shown["variant"])
    with_milestones = tables["best"].ranking(Filters(milestones=True)).ranked["config_id"]
    assert {row.partition("@")[0] for row in with_milestones} == set(best["config_id"])
