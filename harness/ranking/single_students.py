"""What a board of single seeds can say: each trained student beside the one of its start that was not distilled, over the
examples of a task. It says nothing of methods; that takes seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.counted import counted
from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.settings import Settings
from harness.ranking.cells.table import Ranking
from harness.ranking.examples import accuracy_trials, differences_by_row, over_examples
from harness.ranking.render import text
from harness.results.store import Store

CAVEAT = (
    "One seed each: these are differences of trained students, and another seed may reverse them. What methods do "
    "takes seeds: `--set 'grid.seed=[1,2,3]'`; what has been measured over seeds: `harness report --board`."
)


@dataclass(frozen=True)
class Apart:
    """One method's student above (or below) the control, as fractions."""

    method: str
    difference: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """`minilmv2 +5.6 (+4.3 to +6.9)`"""
        told = "" if self.low > 0 or self.high < 0 else ", not told apart"
        return f"{self.method} {text.signed(self.difference)} ({text.signed_span(self.low, self.high)}{told})"


@dataclass(frozen=True)
class BesideControl:
    """One task's students of one shape and start, against the one of them that was not distilled."""

    task: str
    student: str
    control: str
    examples: int
    apart: tuple[Apart, ...]
    """The best first; intervals hold for all tasks and methods of a suite at once."""

    @property
    def sentence(self) -> str:
        """Every difference with its interval, and over what."""
        return (
            f"{self.task}, {self.student}, points above {self.control} (not distilled), paired over "
            f"{counted(self.examples, 'example')}: {', '.join(one.words for one in self.apart)}."
        )


def beside_controls(store: Store, board: Board, filters: Filters) -> list[BesideControl]:
    """For every task scored by accuracy, shape of student and start that has such a control; nothing where a row has
    more than one seed. `board` is what `store` holds."""
    ranking = board.ranking(filters)
    if ranking.ranked.empty or ranking.ranked["n"].max() > 1:
        return []
    return board.once(("beside controls", filters), lambda: list(_beside(store, board, ranking)))


def _beside(store: Store, board: Board, ranking: Ranking) -> Iterator[BesideControl]:
    rows_of = _by_control(ranking, board.frames.settings)
    trials = accuracy_trials(store, board.frames.models)
    units = {
        pair: values
        for control, rows in rows_of.items()
        for pair, values in differences_by_row(ranking, [*rows, control], trials, store.runs_dir).items()
        if pair[1] == control
    }
    about = ranking.ranked.set_index("config_id")
    method, student = about["method"].to_dict(), about["student"].to_dict()
    for (task, control), found in over_examples(units).groupby(["task", "b"], sort=True):
        listed = found.sort_values("difference", ascending=False)
        apart = [
            Apart(method[row], difference, low, high)
            for row, difference, low, high in zip(
                listed["a"], listed["difference"], listed["low"], listed["high"], strict=True
            )
        ]
        yield BesideControl(
            str(task), student[control], method[control], int(listed["examples"].iloc[0]), tuple(apart)
        )


def _by_control(ranking: Ranking, settings: dict[str, dict[str, object]]) -> dict[str, list[str]]:
    """Control that was not distilled -> the distilled rows of the same shape, teacher, languages and start."""
    rows = ranking.ranked[ranking.ranked["mean"].notna()]
    of = {row: settings.get(row, {}) for row in rows["config_id"].astype(str)}
    found: dict[str, list[str]] = {}
    for _, group in rows.groupby(["student", "teacher", "language"], dropna=False):
        ids = group["config_id"].astype(str).tolist()
        controls = {_start(of[row]): row for row in reversed(ids) if not _is_distilled(of[row])}
        for row in ids:
            if _is_distilled(of[row]) and _start(of[row]) in controls:
                found.setdefault(controls[_start(of[row])], []).append(row)
    return found


def _is_distilled(settings: Settings) -> bool:
    return any(path.startswith("method.objective.") for path in settings)


def _start(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Where the weights start, as recorded."""
    return tuple(sorted((path, str(value)) for path, value in settings.items() if path.startswith("init")))
