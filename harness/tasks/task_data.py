"""Labelled rows of a task: one frame per split and language, labels mapped by name, identity by content.

Rows come straight from the asset's files (`harness.formats.rows`), which are the bytes its identity is a hash of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from harness.assets.fetch import fetch
from harness.assets.folder import AssetFolder
from harness.assets.sources import Sources
from harness.base import digest
from harness.errors import InputError
from harness.files import text_fraction, text_hash
from harness.formats.rows import UNTYPED, ColumnValues, read_rows
from harness.records.reading import VERSIONS
from harness.registry import did_you_mean
from harness.sentences import sentence_keys
from harness.spec.entries import Split, Task
from harness.tasks.labels import LabelMap
from harness.tasks.layout import as_laid_out, columns_by_role, languages_of, layout_of, pattern_of
from harness.tasks.row_frames import cache_frame, cached_frame
from harness.tasks.shared_rows import refuse_same_rows, row_keys
from harness.tasks.words import require_words, text_of

HOLDOUT_SHARE = 0.1
"""Share of train kept for choosing settings where dev is what is reported."""


@dataclass(frozen=True)
class TaskData:
    """A task's rows."""

    task: Task
    frames: Mapping[tuple[str, str], pd.DataFrame]
    """(split, language) -> columns text (str), text_pair (str or None), label (class index in the order of
    `task.labels`, a number, or what else the kind of task reads; None where it has no labels), row (position in
    the files), id where the task has one."""
    data_ids: Mapping[tuple[str, str], str]
    """(split, language) -> SHA-256 of the rows used."""

    def languages(self, split: str) -> tuple[str, ...]:
        """Languages of a split, alphabetically."""
        return tuple(sorted(language for name, language in self.frames if name == split))

    def split(self, name: str) -> pd.DataFrame:
        """All languages of a split, concatenated, with a column `language`. InputError where there is no such split."""
        parts = [self.frames[name, language].assign(language=language) for language in self.languages(name)]
        if not parts:
            raise InputError(f"task {self.task.name} has no split {name!r}; it has {self._split_names()}")
        return pd.concat(parts, ignore_index=True)

    def with_train_holdout(self, share: float = HOLDOUT_SHARE) -> TaskData:
        """The same rows, a `share` of train moved to a split `train_holdout`: by hash of the text, so
        that rows with the same text stay together."""
        frames = dict(self.frames)
        for language in self.languages("train"):
            frame = frames["train", language]
            held = frame["text"].map(lambda text: text_fraction("train_holdout", text) < share)
            frames["train_holdout", language] = frame[held].reset_index(drop=True)
            frames["train", language] = frame[~held].reset_index(drop=True)
        return _with_identity(self.task, frames)

    def with_train_rows(self, rows: int | None) -> TaskData:
        """At most `rows` training rows per language, those whose text hashes lowest, in their order; a larger choice
        contains every smaller one."""
        if rows is None:
            return self
        frames = {
            key: _fewer(frame, rows) if key[0] == "train" else frame for key, frame in self.frames.items()
        }
        return _with_identity(self.task, frames)

    def with_train_share(self, share: float) -> TaskData:
        """`share` of the training rows of each language (at least one), chosen as by `with_train_rows`."""
        if share == 1:
            return self
        frames = {
            key: _fewer(frame, max(1, round(share * len(frame)))) if key[0] == "train" else frame
            for key, frame in self.frames.items()
        }
        return _with_identity(self.task, frames)

    def with_eval_rows(self, rows: int | None, dev_rows: int | None = None) -> TaskData:
        """At most `rows` rows of dev and of test per language and at most `dev_rows` of dev, those whose positions hash
        lowest, in their order: the same rows in every language where languages are parallel."""
        if rows is None and dev_rows is None:
            return self
        dev = min(most for most in (rows, dev_rows) if most is not None)
        frames = dict(self.frames)
        for (split, language), frame in self.frames.items():
            most = {"dev": dev, "test": rows}.get(split)
            if most is not None:
                order = [text_hash("eval_rows", str(row)) for row in frame["row"]]
                frames[split, language] = _lowest(frame, order, most)
        return _with_identity(self.task, frames)

    def _split_names(self) -> list[str]:
        return sorted({name for name, _ in self.frames})


def load_task(task: Task, languages: tuple[str, ...], sources: Sources) -> TaskData:
    """The rows of every split: train in the task's training languages, dev and test in `languages`, dev in
    the training languages too.

    Raises AssetError where the data cannot be obtained, InputError where it is not what the task file says.
    """
    for language in languages:
        if language not in task.languages:
            hint = did_you_mean(language, list(task.languages))
            raise InputError(f"task {task.name} has no language {language!r}; {hint}")
    frames = _read_splits(task, tuple(task.splits), languages, sources)
    _check_alignment(task, frames)
    return _with_identity(task, frames)


def evaluation_sentences(task: Task, sources: Sources) -> set[str]:
    """Normalised texts of the dev and test splits in all languages, whole and sentence by sentence."""
    evaluated = tuple(split for split in task.splits if split != "train")
    keys: set[str] = set()
    for frame in _read_splits(task, evaluated, task.languages, sources).values():
        keys |= sentence_keys(frame["text"])
        keys |= sentence_keys(pair for pair in frame["text_pair"] if pair is not None)
    return keys


def check_rows(task: Task, languages: tuple[str, ...], sources: Sources) -> None:
    """Read every row once, keeping none. Raises what `load_task` raises, and InputError where a scored split
    is the training split."""
    keys = {}
    for part, frame in _each_split(task, tuple(task.splits), languages, sources):
        _check_alignment(task, {part: frame})
        keys[part] = row_keys(frame)
    refuse_same_rows(task, keys)


def _read_splits(
    task: Task, splits: tuple[str, ...], languages: tuple[str, ...], sources: Sources
) -> dict[tuple[str, str], pd.DataFrame]:
    return dict(_each_split(task, splits, languages, sources))


def _each_split(
    task: Task, splits: tuple[str, ...], languages: tuple[str, ...], sources: Sources
) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    folders = {name: fetch(asset, sources) for name, asset in task.assets.items()}
    for name, split in task.splits.items():
        for language in languages_of(task, name, languages) if name in splits else ():
            reader = _Reader(as_laid_out(task, split), split, name, language)
            yield (name, language), _remembered(reader, folders[split.asset], sources)


@dataclass(frozen=True)
class _Reader:
    """Reads one split in one language."""

    task: Task
    spec: Split
    split: str
    language: str

    def read(self, folder: AssetFolder) -> pd.DataFrame:
        """The rows that count, in the order of the files."""
        data = self._load(folder)
        columns = self._by_role(data)
        texts = (
            [text_of(words) for words in columns["text"]] if self.task.kind.reads_words else columns["text"]
        )
        frame = pd.DataFrame({"text": texts, "text_pair": columns.get("text_pair")}, dtype=object)
        frame["row"] = range(len(frame))
        if "id" in columns:
            frame["id"] = columns["id"]
        frame["label"] = self._read_labels(data, self._where)
        if self.spec.hash_range is not None:
            low, high = self.spec.hash_range
            frame = frame[frame["text"].map(lambda text: low <= text_fraction(text) < high)]
        if self.task.kind.has_labels:
            frame = frame[frame["label"].notna()]
            frame["label"] = frame["label"].astype(np.dtype(self.task.kind.label_dtype))
        if frame.empty:
            raise InputError(
                f"{self._where}: no rows are left (of {data.rows} read); see `hash_range` and labels"
            )
        return frame.reset_index(drop=True)

    @property
    def _where(self) -> str:
        return f"task {self.task.name}, split {self.split} ({self.language})"

    def _load(self, folder: AssetFolder) -> ColumnValues:
        """The named columns of all files, concatenated."""
        pattern = pattern_of(self.spec, self.language)
        paths = folder.matching(pattern) if pattern else ()
        if not paths:
            raise InputError(self._no_files(folder, pattern))
        names = tuple(columns_by_role(self.task).values())
        files: list[ColumnValues] = []
        for path in paths:
            try:
                rows = (
                    read_rows(path, layout_of(self.task), names) if path.stat().st_size else ColumnValues({})
                )
                check = self._check_words if self.task.kind.reads_words else self._check_texts
                check(path, rows)
            except InputError as error:
                raise InputError(f"{self._where}: {error}") from error
            files += [rows] if rows.rows else []
        if not files:
            raise InputError(f"{self._where}: no rows: {', '.join(path.name for path in paths)} is empty")
        for rows in files[1:]:
            if rows.classes != files[0].classes:
                raise InputError(f"{self._where}: its files state different classes for the same column")
        values = {name: [value for rows in files for value in rows.values[name]] for name in names}
        return ColumnValues(values, files[0].classes)

    def _check_texts(self, path: Path, data: ColumnValues) -> None:
        """InputError, with file and row, where a text column holds anything but valid text."""
        for role in ("text", "text_pair"):
            column = columns_by_role(self.task).get(role)
            for row, value in enumerate(data.values.get(column, ()) if column else ()):
                if not isinstance(value, str) or not _is_unicode(value):
                    raise InputError(f"{path.name}: column {column!r} holds no text in row {row}: {value!r}")

    def _check_words(self, path: Path, data: ColumnValues) -> None:
        """InputError, with file and row, where words or tags are not what they should be."""
        text, label = self.task.columns.text, str(self.task.columns.label)
        words, tags = data.values.get(text, []), data.values.get(label, [])
        require_words(words, tags, path.name, (text, label))
        for row, own in enumerate(words):
            if not _is_unicode("".join(own)):
                raise InputError(f"{path.name}, row {row}: column {text!r} holds no text: {own!r}")
        self._read_labels(data, path.name)

    def _by_role(self, data: ColumnValues) -> dict[str, list[Any]]:
        return {role: data.values[column] for role, column in columns_by_role(self.task).items()}

    def _read_labels(self, data: ColumnValues, where: str) -> list[Any]:
        column = self.task.columns.label
        if column is None or not self.task.kind.has_labels:
            return [None] * data.rows
        reader = LabelMap(self.task, data.classes.get(column), untyped=self.task.format in UNTYPED)
        return self.task.kind.read_labels(reader, data.values.get(column, []), where)

    def _no_files(self, folder: AssetFolder, pattern: str) -> str:
        patterns = {code: pattern_of(self.spec, code) for code in self.task.languages}
        have = [code for code, glob in patterns.items() if glob and folder.matching(glob)]
        if have:
            lacks = f"lacks the language {self.language!r}; it has {', '.join(have)}"
            return f"{self._where}: {folder.source} {lacks}"
        shown = ", ".join(folder.files[:8]) + (", …" if len(folder.files) > 8 else "")
        return f"{self._where}: no file matches {pattern!r} in {folder.source}; it has {shown}"


def _remembered(reader: _Reader, folder: AssetFolder, sources: Sources) -> pd.DataFrame:
    """The rows that `reader` finds in `folder`, cached by the content of its files and everything that decides what is
    read from them, never by name or time."""
    if not reader.task.kind.has_labels or reader.task.kind.label_dtype == "object":
        return _read_now(reader, folder, sources)
    key = digest(
        [VERSIONS["rows"], reader.task, reader.spec, reader.split, reader.language, folder.sha256], 32
    )
    path = sources.cache_dir / "rows" / f"{key}.parquet"
    try:
        return cached_frame(path)
    except (OSError, pa.ArrowException):
        pass  # missing or damaged: read again
    frame = _read_now(reader, folder, sources)
    cache_frame(path, frame)
    return frame


def _read_now(reader: _Reader, folder: AssetFolder, sources: Sources) -> pd.DataFrame:
    with folder.unchanged(sources):
        return reader.read(folder)


def _is_unicode(text: str) -> bool:
    """Whether `text` can be encoded as UTF-8: JSON can spell a lone surrogate."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _check_alignment(task: Task, frames: Mapping[tuple[str, str], pd.DataFrame]) -> None:
    """InputError where an id repeats within a language: retrieval pairs rows by id."""
    if task.columns.id is None:
        return
    for (split, language), frame in frames.items():
        doubled = frame["id"][frame["id"].duplicated()]
        if not doubled.empty:
            twice = f"id {doubled.iloc[0]!r} stands on more than one row"
            raise InputError(f"task {task.name}, split {split} ({language}): {twice}")


def _with_identity(task: Task, frames: Mapping[tuple[str, str], pd.DataFrame]) -> TaskData:
    return TaskData(task, frames, {key: _rows_sha256(frame) for key, frame in frames.items()})


def _fewer(frame: pd.DataFrame, rows: int) -> pd.DataFrame:
    """The `rows` rows whose text hashes lowest, in their order."""
    columns = (frame[name] for name in ("text", "text_pair", "row"))
    order = [
        text_hash("train_rows", text, pair or "", str(row)) for text, pair, row in zip(*columns, strict=True)
    ]
    return _lowest(frame, order, rows)


def _lowest(frame: pd.DataFrame, order: list[int], rows: int) -> pd.DataFrame:
    chosen = pd.Series(order, index=frame.index).nsmallest(rows).index.sort_values()
    return frame.loc[chosen].reset_index(drop=True)


def _rows_sha256(frame: pd.DataFrame) -> str:
    """SHA-256 over position, text, second text and label of every row."""
    sha256 = hashlib.sha256()
    for row, text, pair, label in zip(
        *(frame[c] for c in ("row", "text", "text_pair", "label")), strict=True
    ):
        line = f"{row}\x1f{text}\x1f{pair}\x1f{label}\n"
        sha256.update(line.encode("utf-8", "surrogatepass"))
    return sha256.hexdigest()
