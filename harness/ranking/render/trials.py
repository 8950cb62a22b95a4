"""The state of a run and one trial in a terminal, as rich renderables."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.ranking.render import text
from harness.records.trial import KINDS
from harness.results.store import Store

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
    for kind in KINDS:
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


def render_trial(store: Store, prefix: str) -> RenderableType:
    """Everything the database holds about one trial."""
    trial_id = store.find_trial(prefix)
    row = store.frame("SELECT * FROM trials WHERE trial_id = ?", [trial_id]).iloc[0]
    facts = _facts(row, _clipped(store, trial_id))
    parts: list[RenderableType] = [Text(f"{trial_id}  {row['title']}", style="bold"), facts]
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
    losses = store.frame(
        "SELECT objective, loss, missing FROM transfers WHERE trial_id = ? ORDER BY ALL", [trial_id]
    )
    if len(losses):
        shown = losses.assign(
            loss=[f"{value:.4g}" if text.known(value) else text.NONE for value in losses["loss"]]
        )
        parts += [Text(), _plain("loss by each method's objective, held-out text", shown)]
    return Group(*parts)


def _clipped(store: Store, trial_id: str) -> float | None:
    """Share of a trial's steps whose gradient was clipped, so far; None where none can be or it is not recorded."""
    [share] = store.frame(
        "SELECT sum(clipped * steps) / sum(steps) AS share FROM (SELECT clipped, "
        "step - lag(step, 1, 0) OVER (ORDER BY step) AS steps FROM progress WHERE trial_id = ?) WHERE clipped IS NOT NULL",
        [trial_id],
    )["share"]
    return float(share) if text.known(share) else None


def _facts(row: pd.Series, clipped: float | None) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in SHOWN:
        if text.known(row[name]):
            table.add_row(Text(name, style="dim"), str(row[name]))
    table.add_row(Text("work", style="dim"), text.duration(row["seconds"]))
    if text.known(row["tokens_per_second"]):
        table.add_row(Text("speed", style="dim"), _speed(row))
    if clipped is not None:
        table.add_row(Text("clipped steps", style="dim"), text.share(clipped))
    behind = json.loads(row["provenance"]) if text.known(row["provenance"]) else {}
    for plugin, origin in behind.get("plugins", {}).items():
        table.add_row(Text(plugin, style="dim"), origin)
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
