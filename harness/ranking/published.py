"""Figures published by others (`published.yaml`), and whether a score of ours may stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from harness.counted import counted
from harness.ranking.render.language_names import language_name

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Group:
    """Models that one source puts into one table."""

    name: str
    suite: str
    split: str | None
    language: str | None
    protocol: str
    source: str
    url: str
    tasks: dict[str, str]
    """Task -> how its column is headed."""
    models: pd.DataFrame
    """name, shape, teacher, parameters and one column per task, in points."""


@cache
def published() -> tuple[Group, ...]:
    """All groups, in the file's order."""
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(FILE.read_text(encoding="utf-8"))
    return tuple(_group(entry, content["sources"][entry["source"]]) for entry in content["groups"])


def _group(entry: dict[str, Any], source: dict[str, str]) -> Group:
    rows = [
        {key: model[key] for key in ("name", "shape", "teacher", "parameters")} | model["scores"]
        for model in entry["models"]
    ]
    models = pd.DataFrame(rows, columns=["name", "shape", "teacher", "parameters", *entry["tasks"]])
    return Group(
        entry["name"],
        entry["suite"],
        entry["split"],
        entry["language"],
        entry["protocol"],
        source["title"],
        source["url"],
        {task: language_name(heading) for task, heading in entry["tasks"].items()},
        models,
    )


def cell_of(task: str) -> tuple[str, str | None]:
    """The task and, where the column is of one language, that language: `xnli-de` -> (xnli, de)."""
    name, _, language = task.partition("-")
    return (name, language) if name == "xnli" and language else (task, None)


PROTOCOLS = """
    SELECT s.task, t.protocol, s.split, string_agg(DISTINCT s.metric, ', ' ORDER BY s.metric) AS metrics,
           count(DISTINCT s.language) AS languages, max(s.n) AS rows,
           any_value(TRY_CAST(t.config->>'$.recipe.train_rows' AS BIGINT)) AS train_rows,
           any_value(TRY_CAST(t.config->>'$.recipe.eval_rows' AS BIGINT)) AS eval_rows,
           any_value(TRY_CAST(t.config->>'$.recipe.dev_rows' AS BIGINT)) AS dev_rows,
           any_value(t.config->>'$.recipe.select_on') AS select_on
    FROM scores s JOIN trials t USING (trial_id) WHERE s.reported AND s.selected GROUP BY ALL ORDER BY ALL
"""
"""How the reported scores that are stored came about: one row per task, fine-tuning protocol and split."""


def why_not_comparable(group: Group, task: str, ours: pd.DataFrame) -> str:
    """Empty where our scores are of the same task, split and languages, on all of its rows, and were trained on all
    rows; else what differs.

    `ours`: the rows of `PROTOCOLS` of the protocol whose scores would be shown.
    """
    name, language = cell_of(task)
    rows = ours[ours["task"] == name]
    if rows.empty:
        return "not evaluated here"
    if set(rows["split"]) != {group.split}:
        return f"ours reports {', '.join(sorted(set(rows['split'])))}, theirs {group.split}"
    if group.language == "xnli15" and language is None and rows["languages"].max() < 15:
        return f"ours has {rows['languages'].max()} of 15 languages"
    limits = ["eval_rows", "dev_rows"] if group.split == "dev" else ["eval_rows"]
    cut = rows[limits].astype(float).min(axis=1)
    if cut.notna().any():
        return f"ours is scored on part of {group.split}, at most {counted(int(cut.max()), 'row')} a language"
    if rows["train_rows"].notna().any():
        return f"ours was fine-tuned on {counted(int(rows['train_rows'].max()), 'row')}"
    return ""


def protocol_in_words(task: str, ours: pd.DataFrame) -> str:
    """`accuracy on dev (872 rows), chosen on dev`: how our scores of a task came about."""
    row = ours[ours["task"] == cell_of(task)[0]].iloc[0]
    metrics = str(row["metrics"]).replace(", ", " and ")
    mean = f"mean of {metrics}" if " and " in metrics else metrics
    return f"{mean} on {row['split']} ({counted(int(row['rows']), 'row')}), settings chosen on {row['select_on']}"
