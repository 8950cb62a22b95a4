"""The ranking in a terminal, as a rich renderable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.ranking.board import Board
from harness.ranking.cells.scope import FAMILIES, Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.cells.unscored import unscored_in_words
from harness.ranking.render import text
from harness.ranking.render.trials import render_status
from harness.ranking.statistics.guessing import AT_GUESSING
from harness.results.left_out import read_left_out
from harness.results.store import Store

COLOURS = {
    "OD": "yellow",
    "HS": "green",
    "MHA": "cyan",
    "composite": "magenta",
    "control": "bright_black",
    "external": "blue",
    "teacher": "white",
}
MOST_ROWS = 15
"""Rows of a family that are printed."""
MOST_ANSWERS = 2
"""Pairs of families that are answered for."""
MOST_TASKS = 8
"""Up to so many tasks have a column of their own."""


def render_report(
    store: Store, board: Board, suites: Sequence[str] | None = None, *, most_rows: int | None = MOST_ROWS
) -> RenderableType:
    """The ranking of `suites` (default: of every one), grouped by family, at most `most_rows` of each. `board`
    is what `store` holds.
    """
    if board.empty:
        return Group(Text("Nothing has been scored yet."), *_left_out(store), render_status(store))
    parts: list[RenderableType] = []
    for suite in board.suites() if suites is None else suites:
        parts += [_suite(board, Filters(suite=suite), most_rows), Text()]
    parts += _left_out(store)
    parts.append(_footnotes(board))
    return Group(*parts)


def _left_out(store: Store) -> list[Text]:
    return [Text(one.sentence, style="yellow") for one in read_left_out(store.runs_dir)]


def _suite(board: Board, filters: Filters, most_rows: int | None) -> RenderableType:
    ranking = board.ranking(filters)
    parts: list[RenderableType] = [Text(str(filters.suite), style="bold underline")]
    parts += [Text(answer.sentence) for answer in board.answers(filters)[:MOST_ANSWERS]]
    parts.append(_ranking_table(ranking, most_rows))
    unscored = unscored_in_words(board.frames.evaluations, filters.suite)
    if unscored:
        parts.append(Text(f"{unscored}.", style="yellow"))
    if ranking.other_protocols:
        left = ", ".join(f"{task}: {count}" for task, count in ranking.other_protocols.items())
        parts.append(
            Text(f"Not shown: models scored under other fine-tuning settings ({left}).", style="dim")
        )
    return Group(*parts)


def _ranking_table(ranking: Ranking, most_rows: int | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", row_styles=["", ""])
    varied = ranking.table["variant"].astype(bool).any()
    several_teachers = ranking.ranked["teacher"].nunique() > 1
    several_languages = ranking.ranked["language"].nunique() > 1
    several_amounts = ranking.ranked["tokens"].nunique() > 1
    tasks = ranking.tasks if 1 < len(ranking.tasks) <= MOST_TASKS else ()
    for name in ("family", "method", "student"):
        table.add_column(name, no_wrap=True)
    if several_teachers:
        table.add_column("teacher", no_wrap=True)
    if several_languages:
        table.add_column("language", no_wrap=True)
    if several_amounts:
        table.add_column("tokens", justify="right", no_wrap=True)
    if varied:
        table.add_column("settings")
    for name in ("rank", "mean ± 95 %", *tasks, "retention", "params", "latency", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes")
    per_task = (
        ranking.per_task.set_index(["config_id", "task"])["mean"]
        if len(ranking.per_task)
        else pd.Series(dtype=float)
    )
    noted = ranking.table.to_dict("records")
    notes = {str(row["config_id"]): text.notes(row) for row in noted}
    for family in FAMILIES:
        rows = ranking.table[ranking.table["family"] == family]
        for row in rows.head(most_rows or len(rows)).itertuples():
            cells: list[Any] = [
                Text(family, style=COLOURS[family]),
                text.name(row.method),
                text.name(row.student if text.known(row.student) else row.teacher),
            ]
            cells += [text.name(row.teacher)] if several_teachers else []
            cells += [text.name(row.language)] if several_languages else []
            cells += [text.count(row.tokens)] if several_amounts else []
            cells += [row.variant] if varied else []
            cells += [
                text.rank_range(row.rank, row.best_rank, row.worst_rank),
                text.plus_minus(row.mean, row.low, row.high),
                *(text.points(per_task.get((row.config_id, task))) for task in tasks),
                text.share(row.retention),
                text.count(row.parameters),
                text.milliseconds(row.latency_ms),
                str(row.n),
                Text(notes[str(row.config_id)], style="yellow"),
            ]
            table.add_row(*cells)
        if most_rows and len(rows) > most_rows:
            table.add_row("", Text(f"… {len(rows) - most_rows} more: `harness export`", style="dim"))
        if len(rows):
            table.add_section()
    return table


def _footnotes(board: Board) -> Text:
    timed = board.timings()
    lines = [
        "mean: points over the suite's tasks, 95 % t interval over distilled seeds (n); rank "
        "(best–worst) as far as the data tell rows apart; rows that lost seeds come after complete ones.",
        "ahead: one complete configuration a family, chosen by dev scores, among those with the same teacher, corpus, "
        "shape, initialisation, steps, batch and input; intervals (95 %) pay for the choice and hold for all pairs.",
        "retention: share of the prepared teacher's score that is kept, whatever guessing would score.",
        f"at guessing: {AT_GUESSING}.",
    ]
    if len(timed):
        lines.append(f"latency: {timed['protocol'].iloc[0]}; {timed['device'].iloc[0]}.")
    return Text("\n".join(lines), style="dim")
