"""What the pages read: the board of the database's present state, read again when that changes.

The database is opened read-only and for a moment only, so that a run can go on writing it.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from harness.assets.sources import Sources
from harness.ranking.board import Board, read_board
from harness.results import shipped_board
from harness.results.shipped_board import ShippedBoard
from harness.results.store import DEFAULT, Store

OWN, SHIPPED, BOTH = "Own results", "Shipped board", "Both"
"""Which results the pages show."""
SETTLE = 2.0
"""Seconds for which a board is good even if the database has changed: a run may write many times a second."""
PATIENCE = 10.0
"""Seconds a page waits for a writer."""


def own() -> Store:
    """The database named by `--db`, else by HARNESS_DB, else the usual place."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--db")
    named, _ = parser.parse_known_args(sys.argv[1:])
    return Store(Path(named.db or os.environ.get("HARNESS_DB") or DEFAULT), patience=PATIENCE)


def shipped() -> ShippedBoard | None:
    """The board that ships; None where it holds nothing and nothing of it was left out."""
    place = shipped_board.PLACE
    stamps = tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in place.glob("*.zip"))
    return _shipped(stamps) if stamps else None


@st.cache_resource(show_spinner="Checking the shipped board")
def _shipped(stamps: tuple[tuple[str, int, int], ...]) -> ShippedBoard:
    """Built once for each content of the folder of bundles."""
    del stamps
    return shipped_board.shipped_board(Sources.from_environment().cache_dir)


def store() -> Store:
    """The database that the pages show: one's own, the shipped board's where there is none, or what was chosen."""
    mine, board = own(), shipped()
    chosen = st.session_state.get("results", OWN) if mine.exists else SHIPPED
    if board is None or board.empty or chosen == OWN:
        return mine
    if chosen == SHIPPED:
        return board.store
    return shipped_board.joined(mine, board, Sources.from_environment().cache_dir)


@dataclass
class _Present:
    """The board of one database as it was last read."""

    board: Board | None = None
    state: tuple[int, ...] = ()
    read_at: float = 0.0


@st.cache_resource(show_spinner=False)
def _present(path: str) -> _Present:
    """One per database, shared by all sessions."""
    del path
    return _Present()


def board() -> Board:
    """The database as it is now, or was a moment ago. InputError where it is missing or unreadable."""
    source = store()
    present = _present(str(source.path))
    state = source.state()
    fresh = time.monotonic() - present.read_at < SETTLE
    if present.board is not None and source.exists and (present.state == state or fresh):
        return present.board
    present.board, present.state, present.read_at = read_board(source), state, time.monotonic()
    _settle()
    return present.board


def _settle() -> None:
    """Spare what has been loaded from being looked through by the garbage collector, which Streamlit calls after every
    run of a page."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def query(sql: str, *parameters: Any, **named: Any) -> pd.DataFrame:
    """One small question to the database, for pages about single trials."""
    return store().frame(sql, named or parameters)
