"""A ranking in a terminal: in rank order, whole at any usual width, with what must be said of a row under it."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from harness.ranking.board import Board as Ranked
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.render import text
from harness.ranking.render.colours import COLOURS
from harness.ranking.render.ranking_lines import ranking_lines
from harness.ranking.render.report import render_report
from harness.results.store import Store
from leaderboard import theme

from .boards import Board, write_store
from .ingredients import QUICK

BOARDS = {
    "several settings": Board(distil_rates=(3e-4, 6e-4), seeds=(1, 2), students=("3L-192",)),
    "a gap and a failure": Board(gaps={"od": QUICK[0].name}, fail={"hs-uniform": "nan"}, seeds=(1,)),
    "intermediate students, not measured": Board(seeds=(1,), milestones=(500,), measured=False),
}
WIDTHS = (80, 100, 132, 200)


@pytest.fixture(scope="module", params=BOARDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_store(tmp_path_factory.mktemp("lines") / "results.duckdb", BOARDS[request.param])


def _lines(renderable: object, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture(scope="module")
def board(store: Store) -> Ranked:
    return read_board(store)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_row_is_whole_at_any_width_and_in_rank_order(board: Ranked, width: int) -> None:
    for suite in board.suites():
        ranking = board.ranking(Filters(suite=suite))
        lines = _lines(ranking_lines(ranking, None), width)
        rows = [line for line in lines[1:] if not line.startswith("    ") or "–  " in line[:12]]
        assert len(rows) == len(ranking.table)
        for line, row in zip(rows, ranking.table.to_dict("records"), strict=True):
            student = row["student"] if text.known(row["student"]) else row["teacher"]
            shown = (
                text.rank_range(row["rank"], row["best_rank"], row["worst_rank"]),
                text.name(row["method"]),
                text.name(student),
                text.plus_minus(row["mean"], row["low"], row["high"]),
            )
            assert all(cell in line for cell in shown), (line, shown)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(store: Store, board: Ranked, width: int) -> None:
    assert max(map(len, _lines(render_report(store, board, ids=True), width))) <= width


def test_what_a_narrow_terminal_lacks_goes_in_order(board: Ranked) -> None:
    ranking = board.ranking(Filters(suite=board.suites()[0]))
    headings = [_lines(ranking_lines(ranking), width)[0] for width in (*range(70, 160, 5), 400)]
    kept = [[name for name in ("retention", "params", "latency") if name in line] for line in headings]
    assert kept[-1] == ["retention", "params", "latency"]
    orders = (["retention", "params", "latency"], ["params", "latency"], ["latency"], [])
    assert all(one in orders for one in kept)


def test_notes_and_settings_are_said_at_every_width(board: Ranked) -> None:
    ranking = board.ranking(Filters(suite=board.suites()[0]))
    for width in WIDTHS:
        said = " ".join(" ".join(_lines(ranking_lines(ranking, None), width)).split())
        for row in ranking.table.to_dict("records"):
            assert all(" ".join(str(one).split()) in said for one in (row["variant"], text.notes(row)))


def test_ids_name_trials_that_can_be_shown(store: Store, board: Ranked) -> None:
    ranking = board.ranking(Filters(suite=board.suites()[0]))
    said = " ".join(_lines(ranking_lines(ranking, None, ids=True), 200))
    made = ranking.students
    keys = made.loc[made["role"].isin(["student", "prepared"]), "model_key"]
    assert len(keys)
    assert all(key in said for key in keys)
    trials = set(store.frame("SELECT trial_id FROM trials")["trial_id"])
    assert {key.partition("@")[0] for key in keys} <= trials


def test_families_have_the_colours_of_the_pages() -> None:
    assert theme.COLOURS is COLOURS


def test_a_flag_of_every_row_is_said_once_and_others_under_their_rows(store: Store) -> None:
    ranking = read_board(store).ranking()
    table = ranking.table.assign(flags=["part_of_split"] * len(ranking.table))
    first = table["config_id"] == ranking.ranked["config_id"].iloc[0]
    table["flags"] = table["flags"].where(~first, "part_of_split, shared_rows")
    printed = "\n".join(_lines(ranking_lines(replace(ranking, table=table)), 132))
    assert printed.count("part_of_split") == 1
    assert "Every row: part_of_split." in printed
    assert printed.count("shared_rows") == 1
