"""The ranking, the state of a run and one trial in a terminal, as rich renderables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.errors import InputError
from harness.ranking import text
from harness.ranking.board import Leaderboard, choices, ranking
from harness.ranking.headline import family_answers
from harness.ranking.scope import FAMILIES, Filters
from harness.ranking.snapshot import Snapshot, load, timings
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
    store: Store, filters: Filters | None = None, *, most_rows: int | None = MOST_ROWS
) -> RenderableType:
    """The ranking of every suite (or the one that `filters` names), grouped by family, at most `most_rows`
    of each.
    """
    snapshot = load(store)
    if snapshot.empty:
        return Group(Text("Nothing has been scored yet."), *_left_out(store), render_status(store))
    filters = filters or Filters()
    suites = [filters.suite] if filters.suite else choices(snapshot)["suite"]
    parts: list[RenderableType] = []
    for suite in suites:
        board = ranking(snapshot, Filters(**{**filters.__dict__, "suite": suite}))
        parts += [_suite(board, suite, most_rows), Text()]
    parts += _left_out(store)
    parts.append(_footnotes(snapshot))
    return Group(*parts)


def _left_out(store: Store) -> list[Text]:
    return [Text(one.sentence, style="yellow") for one in read_left_out(store.runs_dir)]


def _suite(board: Leaderboard, suite: str, most_rows: int | None) -> RenderableType:
    parts: list[RenderableType] = [Text(suite, style="bold underline")]
    parts += [Text(answer.sentence) for answer in family_answers(board, suite, MOST_ANSWERS)]
    parts.append(_ranking_table(board, most_rows))
    if board.other_protocols:
        left = ", ".join(f"{task}: {count}" for task, count in board.other_protocols.items())
        parts.append(
            Text(f"Not shown: models scored under other fine-tuning settings ({left}).", style="dim")
        )
    return Group(*parts)


def _ranking_table(board: Leaderboard, most_rows: int | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", row_styles=["", ""])
    varied = board.table["variant"].astype(bool).any()
    several_teachers = board.ranked["teacher"].nunique() > 1
    several_languages = board.ranked["language"].nunique() > 1
    tasks = board.tasks if 1 < len(board.tasks) <= MOST_TASKS else ()
    for name in ("family", "method", "student"):
        table.add_column(name, no_wrap=True)
    if several_teachers:
        table.add_column("teacher", no_wrap=True)
    if several_languages:
        table.add_column("language", no_wrap=True)
    if varied:
        table.add_column("settings")
    for name in ("rank", "mean ± 95 %", *tasks, "retention", "params", "latency", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes")
    per_task = (
        board.per_task.set_index(["config_id", "task"])["mean"]
        if len(board.per_task)
        else pd.Series(dtype=float)
    )
    for family in FAMILIES:
        rows = board.table[board.table["family"] == family]
        for row in rows.head(most_rows or len(rows)).itertuples():
            cells: list[Any] = [
                Text(family, style=COLOURS[family]),
                row.method,
                row.student if text.known(row.student) else row.teacher,
            ]
            cells += [row.teacher] if several_teachers else []
            cells += [row.language if text.known(row.language) else text.NONE] if several_languages else []
            cells += [row.variant] if varied else []
            cells += [
                text.rank_range(row.rank, row.best_rank, row.worst_rank),
                text.plus_minus(row.mean, row.low, row.high),
                *(text.points(per_task.get((row.config_id, task))) for task in tasks),
                text.share(row.retention),
                text.count(row.parameters),
                text.milliseconds(row.latency_ms),
                str(row.n),
                _notes(row),
            ]
            table.add_row(*cells)
        if most_rows and len(rows) > most_rows:
            table.add_row("", Text(f"… {len(rows) - most_rows} more: `harness export`", style="dim"))
        if len(rows):
            table.add_section()
    return table


def _notes(row: Any) -> Text:
    notes = []
    if row.missing:
        notes.append(
            f"missing {row.missing}"
            if row.n == 0
            else f"{row.students - row.n} of {row.students} seeds lack {row.missing}"
        )
    if row.at_guessing:
        notes.append(f"at guessing: {row.at_guessing}")
    if row.flags:
        notes.append(row.flags)
    return Text("; ".join(notes), style="yellow")


def _footnotes(snapshot: Snapshot) -> Text:
    timed = timings(snapshot)
    lines = [
        "mean: points over the suite's tasks, 95 % t interval over distilled seeds (n); rank "
        "(best–worst) as far as the data tell rows apart.",
        "retention: share of the prepared teacher's score that is kept, whatever guessing would score.",
        f"at guessing: {AT_GUESSING}.",
    ]
    if len(timed):
        lines.append(f"latency: {timed['protocol'].iloc[0]}; {timed['device'].iloc[0]}.")
    return Text("\n".join(lines), style="dim")


SHOWN = (
    "kind", "status", "error", "error_message", "spec", "config_id", "method", "family", "student", "teacher",
    "language", "task", "learning_rate", "epochs", "dev_value", "selected", "device", "precision", "threads",
    "tokens", "weights_sha256", "origin",
)  # fmt: skip
"""Columns of a trial that are printed where they are known."""
STATES = ("ok", "running", "planned", "failed", "pruned")
STATE_COLOURS = {
    "ok": "green",
    "running": "cyan",
    "planned": "white",
    "failed": "red",
    "pruned": "bright_black",
}


def render_status(store: Store) -> RenderableType:
    """Trials by kind and state, and every failure with its reason."""
    counts = store.frame(
        "SELECT kind, status, count(*) AS trials, sum(seconds) AS seconds FROM trials GROUP BY ALL"
    )
    if counts.empty:
        return Text("The database holds no trials yet.")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("kind")
    for state in STATES:
        table.add_column(state, justify="right", style=STATE_COLOURS[state])
    table.add_column("work", justify="right")
    for kind in ("prepare", "distil", "finetune", "measure"):
        rows = counts[counts["kind"] == kind].set_index("status")
        if len(rows):
            numbers = [str(int(rows["trials"].get(state, 0))) for state in STATES]
            table.add_row(kind, *numbers, text.duration(rows["seconds"].sum()))
    failures = store.frame(
        "SELECT trial_id, title, error, error_message, error_step FROM trials WHERE status = 'failed' "
        "ORDER BY error, title"
    )
    if failures.empty:
        return table
    listed = Table(box=None, pad_edge=False, header_style="bold", title="Failures", title_justify="left")
    for name in ("trial", "what", "reason", "message"):
        listed.add_column(name)
    for row in failures.to_dict("records"):
        step = f" (step {row['error_step']:.0f})" if text.known(row["error_step"]) else ""
        reason = Text(str(row["error"]), style="red")
        listed.add_row(str(row["trial_id"]), str(row["title"]), reason, f"{row['error_message']}{step}")
    return Group(table, Text(), listed)


def find_trial(store: Store, prefix: str) -> str:
    """The one trial whose id starts with `prefix`; InputError for none or several."""
    found = store.frame("SELECT trial_id FROM trials WHERE starts_with(trial_id, ?) ORDER BY 1", [prefix])[
        "trial_id"
    ].tolist()
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise InputError(f"no trial's id starts with {prefix!r}; `harness status` lists them")
    raise InputError(f"{len(found)} trials start with {prefix!r}: {', '.join(found[:5])}; give more digits")


def render_trial(store: Store, prefix: str) -> RenderableType:
    """Everything the database holds about one trial."""
    trial_id = find_trial(store, prefix)
    row = store.frame("SELECT * FROM trials WHERE trial_id = ?", [trial_id]).iloc[0]
    parts: list[RenderableType] = [Text(f"{trial_id}  {row['title']}", style="bold"), _facts(row)]
    scores = store.frame(
        "SELECT suite, task, language, split, metric, value, n FROM scores WHERE trial_id = ? ORDER BY ALL",
        [trial_id],
    )
    if len(scores):
        parts += [Text(), _plain("scores", scores.assign(value=scores["value"].map(text.points)))]
    measured = store.frame(
        "SELECT metric, value, unit, protocol, spread, valid FROM measurements WHERE trial_id = ?", [trial_id]
    )
    if len(measured):
        parts += [
            Text(),
            _plain("measurements", measured.assign(value=measured["value"].map("{:,.4g}".format))),
        ]
    return Group(*parts)


def _facts(row: pd.Series) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in SHOWN:
        if text.known(row[name]):
            table.add_row(Text(name, style="dim"), str(row[name]))
    table.add_row(Text("work", style="dim"), text.duration(row["seconds"]))
    if text.known(row["tokens_per_second"]):
        table.add_row(Text("speed", style="dim"), _speed(row))
    parents = list(row["parents"]) if isinstance(row["parents"], (list, np.ndarray)) else []
    if parents:
        table.add_row(Text("parents", style="dim"), ", ".join(parents))
    if text.known(row["facts"]):
        for name, value in json.loads(row["facts"]).items():
            table.add_row(Text(name, style="dim"), str(value))
    return Padding(table, (0, 0, 0, 2))


def _speed(row: pd.Series) -> str:
    """Of training, in tokens and operations a second."""
    parts = [f"{text.count(row['tokens_per_second'])} tokens/s"]
    if text.known(row["flops_per_second"]):
        parts.append(f"{text.significant(row['flops_per_second'] / 1e9)} GFLOP/s")
    if text.known(row["utilisation"]):
        parts.append(f"{text.share(row['utilisation'])} of the matmul peak measured there")
    return ", ".join(parts)


def _plain(title: str, frame: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(name, justify="right" if name in ("value", "n", "spread") else "left")
    for row in _as_text(frame):
        table.add_row(*row)
    return table


def _as_text(frame: pd.DataFrame) -> Iterable[list[str]]:
    return (
        [str(value) if text.known(value) else text.NONE for value in row]
        for row in frame.itertuples(index=False)
    )
