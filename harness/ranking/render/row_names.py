"""Short names for rows: only what tells the rows shown apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.counted import counted
from harness.ranking.cells.scope import TEACHERS
from harness.ranking.render import text

NAMED_BY = (
    "config_id",
    "role",
    "method",
    "student",
    "teacher",
    "language",
    "variant",
    "milestone",
    "n",
    "students",
    "complete",
)


def row_labels(table: pd.DataFrame) -> pd.Series:
    """One name per row, by config_id: the method and student, and teacher, languages or settings where they differ; of
    a row that lost students, how many of them are left."""
    ranked = table[~table["role"].isin(TEACHERS)]
    extra = [column for column in ("teacher", "language") if ranked[column].nunique() > 1]
    with_settings = set(ranked.loc[_settings_tell_apart(ranked), "config_id"])
    names = {}
    for row in table[[column for column in NAMED_BY if column in table]].to_dict("records"):
        if row["role"] in TEACHERS:
            parts = [row["teacher"], row["method"]]
        else:
            parts = [row["method"], row["student"], *(row[column] for column in extra)]
            parts += [row["variant"]] if row["config_id"] in with_settings else []
        if text.known(row.get("milestone")):
            parts.append(f"step {int(row['milestone']):,}")
        name = " · ".join(str(part) for part in parts if text.known(part) and part != "")
        names[row["config_id"]] = name if row["complete"] else f"{name} ({_students(row)})"
    return _distinct(pd.Series(names, dtype=object))


def _settings_tell_apart(ranked: pd.DataFrame) -> pd.Series:
    """Which rows need their settings beside the method and student: where another row has the same name, or where rows of
    the same student were not trained alike."""
    made = ["student", "teacher", "language", *(["milestone"] if "milestone" in ranked else [])]
    same_name = ranked.duplicated(["method", *made], keep=False)
    return same_name | (ranked.groupby(made, dropna=False)["stratum"].transform("nunique") > 1)


def _students(row: Mapping[Any, Any]) -> str:
    """`2 of 3 seeds`."""
    return f"{row['n']} of {counted(row['students'], 'seed')}"


def _distinct(names: pd.Series) -> pd.Series:
    """Names that are still shared get the start of the id."""
    shared = names.duplicated(keep=False)
    return names.where(~shared, names + " · " + names.index.to_series().astype(str).str[:6])
