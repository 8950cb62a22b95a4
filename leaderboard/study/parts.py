"""The parts of the study, each a spec, and what the shipped board holds of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.ranking.board import Board, read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.results.shipped_board import ShippedBoard, shipped_board

PARTS = {
    "quickstart": "quickstart",
    "english": "English",
    "multilingual": "fifteen languages",
    "teacher-layers": "teacher layers",
    "tokens": "score against tokens",
}
"""Name of a spec (the quickstart, or one below specs/study), and of its bundles (`english-seed-1.zip`) -> what it is
called in prose."""


@dataclass(frozen=True)
class Part:
    """One spec's results on the shipped board."""

    name: str
    shipped: ShippedBoard
    board: Board

    @property
    def title(self) -> str:
        """What it is called in prose."""
        return PARTS[self.name]

    def ranking(self, suite: str, student: str | None = None) -> Ranking:
        """The rows of one suite, of one student shape or of all."""
        return self.board.ranking(Filters(suite=suite, student=(student,) if student else ()))

    @property
    def suites(self) -> list[str]:
        """Suites with scores, in the order of their names."""
        return sorted(self.board.suites())

    def students(self, suite: str) -> list[str]:
        """Shapes of distilled students, the one with most rows first."""
        return list(self.ranking(suite).ranked["student"].dropna().value_counts().index)

    def seeds(self) -> list[int]:
        """Seeds of distilled students."""
        rows = self.shipped.store.frame(
            "SELECT DISTINCT distil_seed AS seed FROM trials WHERE kind = 'distil' AND distil_seed IS NOT NULL ORDER BY 1"
        )
        return [int(seed) for seed in rows["seed"]]

    def costs(self) -> pd.DataFrame:
        """kind, trials, hours: time of the trials that ended well, in hours of one trial."""
        return self.shipped.store.frame(
            "SELECT kind, count(*) AS trials, sum(finished_at - started_at) / 3600 AS hours FROM trials "
            "WHERE status = 'ok' GROUP BY kind ORDER BY hours DESC"
        )


def read_parts(cache: Path, place: Path | None = None) -> dict[str, Part]:
    """The parts that the board in `place` (default: the one that ships) holds results of, by name."""
    parts = {}
    for name in PARTS:
        shipped = shipped_board(cache, place, f"{name}-*.zip")
        if not shipped.empty:
            parts[name] = Part(name, shipped, read_board(shipped.store))
    return parts
