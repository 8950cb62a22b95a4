"""`select:` of a spec: of the settings tried for one method, student, language and teacher, the best by dev scores.

Only dev scores are looked at, so that the score that is shown comes from rows that chose nothing; where a task's dev
rows are also the reported ones its scores say so (`selected_on_reported_rows`), and so does the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from harness.ranking.cells.frames import Frames
from harness.ranking.cells.scope import NAMES, Filters, cells_of_one_protocol

ON_REPORTED_ROWS = "selected_on_reported_rows"
Settings = Mapping[str, object]
Key = tuple[object, ...]


@dataclass(frozen=True)
class Selected:
    """What was chosen."""

    dropped: frozenset[str]
    """Rows that another setting beat."""
    best_of: Mapping[str, str]
    """Row that was chosen -> `learning_rate 0.003, best of 3 by dev`."""
    tried: Mapping[str, int]
    """Row that was chosen -> how many it was chosen from."""


def select(
    rows: pd.DataFrame,
    cells: pd.DataFrame,
    settings: Mapping[str, Settings],
    selects: Mapping[str, tuple[str, ...]],
) -> Selected:
    """Choose in every group of rows that differ in the settings they are selected over and in nothing else.

    `rows`: row_id, method, student, teacher, language, one row a configuration. `cells`: row_id, model_key, task,
    dev_value, flags, one row a model, task and language. `selects`: row_id -> paths of `settings`."""
    groups: dict[Key, list[str]] = {}
    for record in rows[["row_id", *NAMES]].to_dict("records"):
        row = str(record.pop("row_id"))
        over = selects.get(row, ())
        if over:
            groups.setdefault(_cell_of(tuple(record.values()), settings[row], over), []).append(row)
    scored = cells.astype({"row_id": str, "task": str})
    dropped: set[str] = set()
    best_of: dict[str, str] = {}
    tried: dict[str, int] = {}
    for candidates in groups.values():
        own = scored[scored["row_id"].isin(candidates)]
        best = best_by_dev(own) if len(candidates) > 1 else None
        if best is not None:
            dropped |= set(candidates) - {best}
            tried[best] = len(candidates)
            best_of[best] = _said(best, len(candidates), settings, selects[best], own)
    return Selected(frozenset(dropped), best_of, tried)


def select_rows(frames: Frames) -> Selected:
    """`select` for everything in the database; intermediate students follow their configuration.

    Of each task the fine-tuning protocol counts that most models were scored under."""
    if not frames.selects:
        return Selected(frozenset(), {}, {})
    rows = frames.models.drop_duplicates("row_id")
    rows = rows[rows["row_id"].isin(frames.selects)]
    cells, _ = cells_of_one_protocol(frames.cells, Filters())
    return select(rows, cells, frames.settings, frames.selects)


def without(cells: pd.DataFrame, selected: Selected) -> pd.DataFrame:
    """The cells (or any frame by row_id) of rows that were not dropped, nor are a dropped one's milestones."""
    if not selected.dropped:
        return cells
    configurations = cells["row_id"].astype(str).str.split("@").str[0]
    return cells[~configurations.isin(selected.dropped)]


def with_best_of(about: pd.DataFrame, selected: Selected) -> pd.DataFrame:
    """With what was chosen among the settings that tell a row apart, and `tried`: of how many it was chosen."""
    best_of = about.index.to_series().map(selected.best_of).fillna("")
    parts = zip(about["variant"], best_of, strict=True)
    variant = [
        ", ".join(dict.fromkeys(part for part in (*a.split(", "), *b.split(", ")) if part)) for a, b in parts
    ]
    tried = about.index.to_series().map(selected.tried).fillna(1).astype(int)
    return about.assign(variant=pd.Series(variant, index=about.index, dtype=object), tried=tried)


def best_by_dev(cells: pd.DataFrame) -> str | None:
    """The candidate (`row_id`) with the highest mean dev score; ties go to the lower row_id.

    Dev scores are averaged over languages and tasks of one student, then over students. Tasks count that every
    candidate was scored on; only candidates with as many whole students as the best-covered one compete, so that a
    failed seed gains nothing. None where no task has dev scores for all, or fewer than two candidates were scored."""
    by_task = cells.groupby(["row_id", "model_key", "task"], observed=True)["dev_value"].mean().dropna()
    wide = by_task.unstack("task")
    shared = [task for task in wide if wide[task].groupby("row_id").count().min() > 0]
    whole = wide[shared].dropna()
    if not shared or wide.index.unique("row_id").size < 2 or whole.empty:
        return None
    students = whole.mean(axis="columns").groupby("row_id").agg(["mean", "count"])
    covered = students[students["count"] == students["count"].max()]
    return str(covered.sort_index()["mean"].idxmax())


def _cell_of(names: Key, settings: Settings, over: tuple[str, ...]) -> Key:
    """What rows have in common that compete with one another."""
    fixed = tuple(sorted((path, str(value)) for path, value in settings.items() if path not in over))
    return (*names, over, fixed)


def _said(
    row: str, count: int, settings: Mapping[str, Settings], over: tuple[str, ...], cells: pd.DataFrame
) -> str:
    values = [settings[row].get(path) for path in over]
    chosen = ", ".join(
        f"{path} {value:g}" if isinstance(value, float) else f"{path} {value}"
        for path, value in zip(over, values, strict=True)
    )
    flags = cells.loc[cells["row_id"] == row, "flags"]
    reported = any(ON_REPORTED_ROWS in listed for listed in flags)
    return f"{chosen}, best of {count} by dev" + (", on the reported rows" if reported else "")
