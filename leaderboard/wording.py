"""Short names for rows: only what tells the rows shown apart."""

from __future__ import annotations

import html
import re
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


FAMILY_TOOLTIPS = {
    "OD": "Output distribution: the student learns the teacher's predicted probabilities",
    "HS": "Hidden states: the student's layers learn the states of the teacher's layers",
    "MHA": "Multi-head attention: the student learns relations of the teacher's queries, keys and values",
}


def with_tooltips(sentence: str) -> str:
    """The sentence as HTML, in which OD, HS and MHA say what they are when pointed at or reached by key."""

    def explained(found: re.Match[str]) -> str:
        name = found.group()
        return f'<abbr tabindex="0" title="{html.escape(FAMILY_TOOLTIPS[name])}">{name}</abbr>'

    return re.sub(r"\b(OD|HS|MHA)\b", explained, html.escape(sentence))


def _students(row: Mapping[Any, Any]) -> str:
    """`2 of 3 seeds`."""
    return f"{row['n']} of {counted(row['students'], 'seed')}"


def _distinct(names: pd.Series) -> pd.Series:
    """Names that are still shared get the start of the id."""
    shared = names.duplicated(keep=False)
    return names.where(~shared, names + " · " + names.index.to_series().astype(str).str[:6])


def group_letters(groups: tuple[tuple[str, ...], ...]) -> dict[str, str]:
    """Row -> letters of the groups it is in: rows that share a letter cannot be told apart."""
    letters: dict[str, list[str]] = {}
    for index, group in enumerate(groups):
        for row in group:
            letters.setdefault(row, []).append(_letter(index))
    return {
        row: "".join(letters_of) if len(groups) <= 26 else " ".join(letters_of)
        for row, letters_of in letters.items()
    }


def _letter(index: int) -> str:
    """a, b, … z, aa, ab, …"""
    rest, place = divmod(index, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("a") + place)
