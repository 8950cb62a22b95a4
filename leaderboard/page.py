"""How every page opens: its title, then the present board, or what to do where there is nothing to show."""

from __future__ import annotations

import streamlit as st

from harness.errors import InputError
from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.glance.not_shown import not_shown
from harness.results.shipped_board import days_and_commits
from harness.results.store import Store
from leaderboard import present as data
from leaderboard.filters import BOUND

UNSCORED = "Nothing has been scored yet."


def opened(title: str, unscored: str | None = UNSCORED) -> Board | None:
    """Draw the title; the present board, or None once the page has said why there is nothing to show.

    `unscored`: what to say where nothing has been scored; None for a page that has something to show even then.
    """
    st.title(title)
    try:
        _choose_results()
    except InputError as error:
        st.warning(str(error))
        return None
    source = data.store()
    try:
        board = data.board()
    except InputError as error:
        if source.exists:
            st.warning(str(error))
        else:
            st.info(
                "**There are no results here yet.** Run a benchmark, and this page fills as its trials finish."
            )
        _ways_out(source)
        return None
    if board.frames.trials.empty:
        st.info("**The database is empty.** Run a benchmark, and this page fills as its trials finish.")
        _ways_out(source)
        return None
    if unscored is not None and board.empty:
        st.info(unscored)
        return None
    return board


def counted_out(board: Board, filters: Filters, page: Filters | None = None) -> None:
    """What the page does not show, counted, and when and by which commit the results were obtained. `page`: what it shows
    without a filter, its suite by default."""
    parts = not_shown(board, filters, page)
    when = board.once("recorded", lambda: days_and_commits(data.store()))
    said = [f"Left out: {'; '.join(parts)}."] if parts else ["Nothing is left out."]
    said += [f"Results of {when}."] if when else []
    st.caption(" ".join(said))


def _choose_results() -> None:
    """Which results to show, where the shipped board holds any, and what it is."""
    board = data.shipped()
    if board is None:
        return
    for problem in board.problems:
        st.warning(f"A file of the shipped board is left out: {problem}")
    if board.empty:
        return
    if data.own().exists:
        st.sidebar.radio("Results", [data.OWN, data.SHIPPED, data.BOTH], key="results", **BOUND)
    if data.store().path != data.own().path:
        st.caption(board.sentence())


def _ways_out(source: Store) -> None:
    st.markdown("Run the quickstart, or rebuild the database from the folders of trials that have run:")
    st.code("harness run quickstart\nharness ingest --runs-dir runs", language=None)
    st.caption(f"Database: `{source.path}`. Another one: `harness leaderboard --db PATH`.")
