"""A ranking as lines of a terminal: as many columns as its width holds, and under each row what must be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from harness.ranking.cells.table import Ranking
from harness.ranking.render import text
from harness.ranking.render.colours import COLOURS

MOST_ROWS = 40
"""Ranked rows that are printed; teachers are always."""
MOST_TASKS = 8
"""Up to so many tasks have a column of their own."""
MADE_HERE = ("student", "prepared")
"""Roles of models that a trial made."""
SETTINGS = "settings"
DROPPED = ("retention", "params", "latency", SETTINGS, "task", "tokens", "family")
"""Columns that a narrow terminal lacks, the first to go first; settings are then said under the row."""


@dataclass(frozen=True)
class Column:
    """One column of the printed table."""

    name: str
    cells: Sequence[Text | str]
    part: str = ""
    """Which of `DROPPED` it belongs to; empty: it always stays."""
    left: bool = False


@dataclass(frozen=True)
class RankingLines:
    """A rich renderable: the rows in rank order, each with its notes under it."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    hidden: int = 0
    """Rows that are not printed."""
    of_every_row: str = ""
    """What holds of all rows and is said once."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The header, then each row with its notes."""
        shown = self._fitting(console, options)
        settings = next(
            (one.cells for one in self.columns if one.part == SETTINGS and one not in shown), None
        )
        header, *lines = console.render_lines(_table(shown), options, pad=False)
        yield from (*header, Segment.line())
        for number, (line, note) in enumerate(zip(lines, self.notes, strict=True)):
            yield from (*line, Segment.line())
            said = [str(settings[number])] if settings else []
            if under := "; ".join(one for one in (*said, note) if one):
                yield Padding(Text(under, style="yellow"), (0, 0, 0, 4))
        if self.of_every_row:
            yield Text(f"Every row: {self.of_every_row}.", style="yellow")
        if self.hidden:
            yield Text(f"… {self.hidden} more: `harness export`", style="dim")

    def _fitting(self, console: Console, options: ConsoleOptions) -> tuple[Column, ...]:
        """The columns that the terminal has room for."""
        shown = self.columns
        for part in DROPPED:
            if (
                Measurement.get(console, options.update(width=10_000), _table(shown)).maximum
                <= options.max_width
            ):
                break
            shown = tuple(one for one in shown if one.part != part)
        return shown


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for one in columns:
        table.add_column(one.name, no_wrap=True, justify="left" if one.left else "right")
    for cells in zip(*(one.cells for one in columns), strict=True):
        table.add_row(*cells)
    return table


def ranking_lines(ranking: Ranking, most_rows: int | None = MOST_ROWS, *, ids: bool = False) -> RankingLines:
    """The first `most_rows` ranked rows (None: all) and the teachers; with `ids` the trials that made each model."""
    first = ranking.ranked.head(most_rows or len(ranking.ranked))
    rows = pd.concat([first, ranking.references])
    shared = _shared_flags(rows)
    rows = rows.assign(
        flags=[", ".join(one for one in _flags(row) if one not in shared) for row in rows["flags"]]
    )
    notes = [text.notes(row) for row in rows.to_dict("records")]
    if ids:
        trials = [_trials(ranking, row) for row in rows.to_dict("records")]
        notes = ["; ".join(one for one in both if one) for both in zip(trials, notes, strict=True)]
    hidden = len(ranking.ranked) - len(first)
    return RankingLines(tuple(_columns(ranking, rows)), tuple(notes), hidden, ", ".join(shared))


def _flags(joined: str) -> list[str]:
    return joined.split(", ") if joined else []


def _shared_flags(rows: pd.DataFrame) -> list[str]:
    """Flags that all of several rows have."""
    flags = [set(_flags(row)) for row in rows["flags"]]
    return sorted(set.intersection(*flags)) if len(flags) > 1 else []


def _trials(ranking: Ranking, row: Mapping[Any, Any]) -> str:
    """`trials 3f2a91c05d7e6b84 (seed 1), …` that made the models of a row; empty for checkpoints that no trial made."""
    if row["role"] not in MADE_HERE:
        return ""
    students = ranking.students[ranking.students["config_id"] == row["config_id"]]
    made = students.drop_duplicates("model_key").sort_values(["distil_seed", "model_key"])
    seeds = [f" (seed {seed:.0f})" if row["role"] == "student" else "" for seed in made["distil_seed"]]
    named = [f"{trial}{seed}" for trial, seed in zip(made["model_key"], seeds, strict=True)]
    return f"{'trial' if len(named) == 1 else 'trials'} {', '.join(named)}" if named else ""


def _columns(ranking: Ranking, rows: pd.DataFrame) -> Iterator[Column]:
    """Every column that this ranking can have."""
    listed = rows.to_dict("records")
    families = [str(row["family"]) for row in listed]
    yield Column(
        "rank", [text.rank_range(row["rank"], row["best_rank"], row["worst_rank"]) for row in listed]
    )
    yield Column("family", [Text(one, style=COLOURS[one]) for one in families], "family", left=True)
    methods = [text.name(row["method"]) for row in listed]
    coloured = [Text(name, style=COLOURS[family]) for name, family in zip(methods, families, strict=True)]
    yield Column("method", coloured, left=True)
    students = [row["student"] if text.known(row["student"]) else row["teacher"] for row in listed]
    yield Column("student", [text.name(one) for one in students], left=True)
    for name in ("teacher", "language"):
        if ranking.ranked[name].nunique() > 1:
            yield Column(name, [text.name(row[name]) for row in listed], left=True)
    if ranking.ranked["tokens"].nunique() > 1:
        yield Column("tokens", [text.count(row["tokens"]) for row in listed], "tokens")
    if rows["variant"].astype(bool).any():
        yield Column(SETTINGS, [str(row["variant"]) for row in listed], SETTINGS, left=True)
    yield Column("mean ± 95 %", [text.plus_minus(row["mean"], row["low"], row["high"]) for row in listed])
    yield Column("n", [str(row["n"]) for row in listed])
    yield from _task_columns(ranking, [str(row["config_id"]) for row in listed])
    yield Column("retention", [text.share(row["retention"]) for row in listed], "retention")
    yield Column("params", [text.count(row["parameters"]) for row in listed], "params")
    yield Column("latency", [text.milliseconds(row["latency_ms"]) for row in listed], "latency")


def _task_columns(ranking: Ranking, row_ids: Sequence[str]) -> Iterator[Column]:
    if not 1 < len(ranking.tasks) <= MOST_TASKS or ranking.per_task.empty:
        return
    means = ranking.per_task.set_index(["config_id", "task"])["mean"]
    for task in ranking.tasks:
        yield Column(task, [text.points(means.get((one, task))) for one in row_ids], "task")
