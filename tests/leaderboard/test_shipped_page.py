"""Without a database of one's own the pages show the shipped board; with one, a choice in the sidebar."""

from __future__ import annotations

from pathlib import Path

import pytest
from results.boards import Board, write_folders, write_store
from results.ingredients import QUICK
from streamlit.testing.v1 import AppTest

from harness.results import shipped_board
from harness.results.bundle import bundle

ONE = Board(methods=("od", "minilmv2"), students=("3L-192",), seeds=(1, 2), tasks=QUICK[:1], rows=200)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board of one bundle, and a cache of its own."""
    write_folders(tmp_path / "runs", ONE, predictions=True)
    (tmp_path / "board").mkdir()
    bundle(tmp_path / "runs", tmp_path / "board" / "all.zip", compact=True)
    monkeypatch.setattr(shipped_board, "PLACE", tmp_path / "board")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "board"


def _page(page: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("HARNESS_DB", str(path))
    script = f"from leaderboard.views import {page}\n{page}.page()\n"
    return AppTest.from_string(script, default_timeout=60).run()


def test_the_board_is_shown_and_says_what_it_is_and_what_it_lacks(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "cut.zip").write_bytes((place / "all.zip").read_bytes()[:1000])
    app = _page("ranking", tmp_path / "none.duckdb", monkeypatch)
    assert not app.exception
    assert any(one.value.startswith("Shipped board of") for one in app.caption)
    assert ["cut.zip" in one.value for one in app.warning] == [True]
    assert not app.sidebar.radio


def test_own_results_come_first_and_the_board_is_one_choice_away(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own" / "results.duckdb"
    write_store(own, Board(methods=("hs-last",), students=("3L-192",), seeds=(1, 2), tasks=QUICK[:1]))
    app = _page("compare", own, monkeypatch)
    assert not app.exception
    assert not any(one.value.startswith("Shipped board of") for one in app.caption)
    shown = {}
    for choice in app.sidebar.radio[0].options:
        app.sidebar.radio[0].set_value(choice).run()
        assert not app.exception
        labels = " ".join(app.multiselect(key="rows").options)
        shown[choice] = [name for name in ("hs-last", "minilmv2") if name in labels]
    assert list(shown.values()) == [["hs-last"], ["minilmv2"], ["hs-last", "minilmv2"]]
