"""The board: one state of the database, and every question about it answered once.

    board = read_board(store)                          # once per state of the database
    board.ranking(Filters(suite="GLUE")).table         # as often as a reader turns a knob

`Board.once` is the only cache between the database and a page.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from harness.ranking.cells import frames as reading
from harness.ranking.cells.frames import Frames, read_frames
from harness.ranking.cells.scope import (
    FAMILIES,
    TEACHERS,
    Filters,
    Scope,
    build_scope,
    cells_of_one_protocol,
    languages_required,
    scored,
)
from harness.ranking.cells.selected import Selected, select_rows, with_best_of, without
from harness.ranking.cells.table import Ranking, rank_rows
from harness.ranking.headline import FamilyAnswer, family_answers
from harness.results.store import Store

T = TypeVar("T")
EVERYTHING = Filters()


@dataclass(frozen=True, eq=False)
class Board:
    """One state of the database and what has been asked of it; answers are shared and must not be changed."""

    frames: Frames
    _known: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def once(self, question: Hashable, answer: Callable[[], T]) -> T:
        """What `answer` returned when `question` was first asked of this state."""
        if question not in self._known:
            self._known[question] = answer()
        known: T = self._known[question]
        return known

    @property
    def empty(self) -> bool:
        """Whether nothing has been scored yet."""
        return self.frames.empty

    def ranking(self, filters: Filters = EVERYTHING) -> Ranking:
        """The configurations that `filters` let through, in order."""
        return self.once(("ranking", filters), lambda: rank_rows(self.frames, self.scope(filters), filters))

    def answers(self, filters: Filters = EVERYTHING) -> list[FamilyAnswer]:
        """How the families compare under `filters`: every pair, within each stratum."""
        suite, frames = filters.suite or "all suites", self.frames
        every = replace(filters, one_setting=False)  # all settings are candidates of their family
        return self.once(
            ("answers", every),
            lambda: family_answers(self.ranking(every), frames.strata, frames.settings, suite),
        )

    def scope(self, filters: Filters) -> Scope:
        """The scope in which `filters` choose names; a task must have the languages that any model among
        them was scored in."""
        wide = filters.without_names()
        cells, other = self.once(
            ("cells", wide), lambda: cells_of_one_protocol(without(self.frames.cells, self.selected()), wide)
        )
        required = languages_required(cells, self.frames.models, filters)

        def build() -> Scope:
            waiting = without(self.frames.waiting, self.selected())
            measured = self.measures(wide.latency_protocol, wide.fingerprint)
            scope = build_scope(self.frames, cells, waiting, other, required, measured)
            return replace(scope, about=with_best_of(scope.about, self.selected()))

        return self.once(("scope", wide, tuple(required.items())), build)

    def selected(self) -> Selected:
        """The settings that the specs' `select:` chose, by dev scores of all tasks, whatever is shown."""
        return self.once("selected", lambda: select_rows(self.frames))

    def timings(self) -> pd.DataFrame:
        """Protocols under which latency was measured (see `harness.ranking.cells.frames.timings`)."""
        return self.once("timings", lambda: reading.timings(self.frames))

    def measures(self, latency_protocol: str | None = None, fingerprint: str | None = None) -> pd.DataFrame:
        """What each row costs (see `harness.ranking.cells.frames.measures`)."""
        return self.once(
            ("measures", latency_protocol, fingerprint),
            lambda: reading.measures(self.frames, self.timings(), latency_protocol, fingerprint),
        )

    def choices(self) -> dict[str, list[str]]:
        """What each filter can be set to: suite, task, evaluation, student, teacher, language, family."""
        return self.once("choices", lambda: _choices(self.frames))

    def suites(self) -> list[str]:
        """Suites that have scores, the one with most ranked models first: it is the default."""
        return self.choices()["suite"]


def read_board(store: Store) -> Board:
    """The database as it is now. InputError where it is missing or cannot be read."""
    return Board(read_frames(store))


def _choices(frames: Frames) -> dict[str, list[str]]:
    seen = scored(frames.models, frames.cells)
    choices = {
        column: sorted(seen[column].dropna().unique()) for column in ("student", "teacher", "language")
    }
    families = set(seen["family"].dropna())
    choices["family"] = [family for family in FAMILIES if family in families]
    students = frames.cells[~frames.cells["role"].isin(TEACHERS)]
    source = students if len(students) else frames.cells
    choices["suite"] = list(
        source.groupby("suite", observed=True)["model_key"]
        .nunique()
        .sort_values(ascending=False, kind="stable")
        .index
    )
    choices["task"] = sorted(frames.cells["task"].astype(str).unique())
    choices["evaluation"] = sorted(frames.cells["language"].astype(str).unique())
    return choices
