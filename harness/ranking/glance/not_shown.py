"""What a ranking does not show, counted: selective publishing is what boards are blamed for."""

from __future__ import annotations

from dataclasses import replace

from harness.counted import counted
from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.unscored import unscored_in_words


def not_shown(board: Board, filters: Filters, page: Filters | None = None) -> list[str]:
    """Rows hidden by filters, settings and intermediate students that are left out, students that failed or are not done,
    and fine-tuning trials without a score; each only where there are any. `page`: what the page shows without a filter; the
    suite of `filters` by default."""
    page = page or Filters(suite=filters.suite)
    said = [
        _said(_hidden_by_filters(board, filters, page), "row", "hidden by filters"),
        _said(_other_settings(board, filters), "setting", "not chosen by dev scores"),
        _said(_dropped(board, filters), "setting", "not chosen by the `select:` of its spec"),
        _said(_intermediate(board, filters), "intermediate student", "of earlier steps"),
        _students(board),
        unscored_in_words(board.frames.evaluations, filters.suite),
    ]
    return [one for one in said if one]


def _said(count: int, noun: str, why: str) -> str:
    return f"{counted(count, noun)} {why}" if count else ""


def _hidden_by_filters(board: Board, filters: Filters, page: Filters) -> int:
    """Rows of the page that filters take away, every setting counted."""
    whole = replace(page, milestones=filters.milestones)
    shown = board.ranking(replace(filters, one_setting=False)).ranked
    return len(set(board.ranking(whole).ranked["config_id"]) - set(shown["config_id"]))


def _other_settings(board: Board, filters: Filters) -> int:
    every = board.ranking(replace(filters, one_setting=False)).ranked
    return len(every) - len(board.ranking(filters).ranked)


def _dropped(board: Board, filters: Filters) -> int:
    cells = board.frames.cells
    mine = cells if filters.suite is None else cells[cells["suite"] == filters.suite]
    return len(set(mine["row_id"].astype(str)) & board.selected().dropped)


def _intermediate(board: Board, filters: Filters) -> int:
    if filters.milestones:
        return 0
    cells = board.frames.cells[board.frames.cells["milestone"].notna()]
    mine = cells if filters.suite is None else cells[cells["suite"] == filters.suite]
    return int(mine["model_key"].nunique())


def _students(board: Board) -> str:
    """`of 40 students 2 failed and 3 are not done`, whatever the suite."""
    trials = board.frames.trials
    by_state = trials[trials["kind"] == "distil"].groupby("status")["count"].sum()
    failed = int(by_state.get("failed", 0))
    waiting = int(by_state.get("planned", 0) + by_state.get("running", 0))
    parts = [f"{failed:,} failed"] if failed else []
    parts += [f"{waiting:,} {'is' if waiting == 1 else 'are'} not done"] if waiting else []
    return f"of {counted(int(by_state.sum()), 'student')} {' and '.join(parts)}" if parts else ""
