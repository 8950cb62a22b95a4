"""Figures published by others (`published.yaml`), and whether a score of ours may stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

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
        dict(entry["tasks"]),
        models,
    )


def cell_of(task: str) -> tuple[str, str | None]:
    """The task and, where the column is of one language, that language: `xnli-de` -> (xnli, de)."""
    name, _, language = task.partition("-")
    return (name, language) if name == "xnli" and language else (task, None)


def why_not_comparable(group: Group, task: str, ours: pd.DataFrame) -> str:
    """Empty where a score of ours is of the same task, split and languages, and was trained on all rows;
    else what differs.

    `ours`: the reported scores that are stored: task, split, languages (how many), train_rows (None for all).
    """
    name, language = cell_of(task)
    rows = ours[ours["task"] == name]
    if rows.empty:
        return "not evaluated here"
    if group.split not in set(rows["split"]):
        return f"ours reports {', '.join(sorted(set(rows['split'])))}, theirs {group.split}"
    if group.language == "xnli15" and language is None and rows["languages"].max() < 15:
        return f"ours has {rows['languages'].max()} of 15 languages"
    if rows["train_rows"].notna().all():
        return f"ours was fine-tuned on {int(rows['train_rows'].max()):,} rows"
    return ""
