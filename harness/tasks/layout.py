"""Where the rows of a task are and how they are written. Loads neither pandas nor NumPy, so that validation stays cheap."""

from __future__ import annotations

from harness.formats.rows import Layout
from harness.spec.entries import Split, Task


def languages_of(task: Task, split: str, languages: tuple[str, ...]) -> tuple[str, ...]:
    """Languages in which a split is read when `languages` are asked for."""
    if split == "train":
        return task.train_languages
    if split == "dev":
        return tuple(sorted({*languages, *task.train_languages} & set(task.languages)))
    return languages


def as_laid_out(task: Task, split: Split) -> Task:
    """The task with the file layout that the split states for itself."""
    own = {name: getattr(split, name) for name in ("format", "columns", "labels", "drop_labels")}
    return task.model_copy(update={name: value for name, value in own.items() if value is not None})


def pattern_of(split: Split, language: str) -> str:
    """Glob of a split's files in one language; empty where it names none."""
    if isinstance(split.files, dict):
        return split.files.get(language, "")
    return split.files.replace("{language}", language)


def layout_of(task: Task) -> Layout:
    """How the rows of a task's files are written."""
    return Layout(task.format, task.header, task.encoding)


def columns_by_role(task: Task) -> dict[str, str]:
    """Role (text, text_pair, id, label) -> the column that the task names for it."""
    roles = {role: getattr(task.columns, role) for role in ("text", "text_pair", "id", "label")}
    return {role: column for role, column in roles.items() if column is not None}
