"""What the pages read: frames of the database's present state, kept as long as it does not change.

The database is opened read-only and for a moment only, so that a run can go on writing it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.errors import InputError
from harness.ranking.board import Leaderboard, ranking
from harness.ranking.board import choices as choices_of
from harness.ranking.headline import FamilyAnswer, family_answers
from harness.ranking.scope import Filters
from harness.ranking.snapshot import Snapshot, load
from harness.results.store import DEFAULT, Store

SETTLE = 2.0
"""Seconds for which a snapshot is good even if the database has changed: a run may write many times a
second.
"""
PATIENCE = 10.0
"""Seconds a page waits for a writer."""


def store() -> Store:
    """The database named by `--db`, else by HARNESS_DB, else the usual place."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--db")
    named, _ = parser.parse_known_args(sys.argv[1:])
    return Store(Path(named.db or os.environ.get("HARNESS_DB") or DEFAULT), patience=PATIENCE)


@dataclass
class _Kept:
    """The last snapshot of one database and the rankings made of it."""

    state: tuple[int, ...] = ()
    snapshot: Snapshot | None = None
    read_at: float = 0.0
    boards: dict[Filters, Leaderboard] = field(default_factory=dict)
    answers: dict[Filters, list[FamilyAnswer]] = field(default_factory=dict)
    choices: dict[str, list[str]] | None = None


@st.cache_resource(show_spinner=False)
def _kept(path: str) -> _Kept:
    """One per database, shared by all sessions."""
    del path
    return _Kept()


def snapshot() -> Snapshot:
    """The database as it is now, or was a moment ago. InputError where it is missing or unreadable."""
    source = store()
    kept = _kept(str(source.path))
    state = source.state()
    fresh = time.monotonic() - kept.read_at < SETTLE
    if kept.snapshot is not None and source.exists and (kept.state == state or fresh):
        return kept.snapshot
    found = load(source)
    kept.state, kept.snapshot, kept.read_at = state, found, time.monotonic()
    kept.boards, kept.answers, kept.choices = {}, {}, None
    _settle()
    return found


def _settle() -> None:
    """Spare what has been loaded from being looked through by the garbage collector, which Streamlit calls after every
    run of a page."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def board(filters: Filters) -> Leaderboard:
    """The ranking under these filters, computed once per state of the database."""
    current = snapshot()
    boards = _kept(str(store().path)).boards
    if filters not in boards:
        boards[filters] = ranking(current, filters)
    return boards[filters]


def answers(filters: Filters) -> list[FamilyAnswer]:
    """How the families compare under these filters."""
    ranked = board(filters)
    kept = _kept(str(store().path)).answers
    if filters not in kept:
        kept[filters] = family_answers(ranked, filters.suite or "all suites")
    return kept[filters]


def choices() -> dict[str, list[str]]:
    """What each filter can be set to (`harness.ranking.board.choices`)."""
    current = snapshot()
    kept = _kept(str(store().path))
    if kept.choices is None:
        kept.choices = choices_of(current)
    return kept.choices


def query(sql: str, *parameters: Any, **named: Any) -> pd.DataFrame:
    """One small question to the database, for pages about single trials."""
    return store().frame(sql, named or parameters)


def explain_missing(source: Store) -> bool:
    """Say what to do where there is nothing to show; True if that was so."""
    try:
        current = snapshot()
    except InputError as error:
        if not source.exists:
            st.info(
                "**There are no results here yet.** Run a benchmark, and this page fills as its trials "
                "finish."
            )
        else:
            st.warning(str(error))
        _ways_out(source)
        return True
    if current.trials.empty:
        st.info("**The database is empty.** Run a benchmark, and this page fills as its trials finish.")
        _ways_out(source)
        return True
    return False


def _ways_out(source: Store) -> None:
    st.markdown("Run the quickstart, or rebuild the database from the folders of trials that have run:")
    st.code("harness run specs/quickstart.yaml\nharness ingest --runs-dir runs", language="bash")
    st.caption(f"Database: `{source.path}`. Another one: `streamlit run leaderboard/app.py -- --db PATH`.")
