"""Rows of a labelled file: the columns that a task names, read from the file's bytes by its format's own reader.

    columns = read_rows(path, Layout("csv"), ["sentence", "label"])

Parquet and JSON lines keep the types of their values. csv and tsv have none: every value is the text between two
separators, and only code that knows what a column means (a label map) converts it. Unnamed columns are ignored, but
every line must have as many fields as the header.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.formats.documents import declaration_rows
from harness.formats.opened import open_parquet, open_text, require_whole_parquet
from harness.formats.words import word_sentences

UNTYPED = ("csv", "tsv")
"""Formats whose values are always text."""


@dataclass(frozen=True)
class Layout:
    """Layout of the rows of a file."""

    format: str
    """parquet, jsonl, csv, tsv, udhr, conll, conllu or brown."""
    header: tuple[str, ...] | None = None
    """Column names of csv, tsv and conll files without a header line."""
    encoding: str = "utf-8"
    """Text encoding of all but parquet and udhr."""


@dataclass(frozen=True)
class ColumnValues:
    """Columns of equal length."""

    values: Mapping[str, list[Any]]
    """Column -> its value in each row, None if missing."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Integer column -> the class names stored in the file."""

    @property
    def rows(self) -> int:
        """Number of rows."""
        return max(map(len, self.values.values()), default=0)


def read_rows(path: Path, layout: Layout, names: Sequence[str]) -> ColumnValues:
    """The columns `names` of one file. InputError, naming the file and, if it has lines, the line, where a column is
    missing or the file does not match its layout."""
    return _READERS[layout.format](path, layout, tuple(dict.fromkeys(names)))


def check_rows_file(path: Path, layout: Layout, names: Sequence[str]) -> int | None:
    """Number of rows of a file, None if only its own reader could tell. Loads no library: a parquet file is checked at
    both ends, any other is read. Raises as `read_rows` does if the file is incomplete."""
    if path.stat().st_size == 0:
        return 0
    if layout.format != "parquet":
        return read_rows(path, layout, names).rows
    require_whole_parquet(path)
    return None


def iterate_rows(path: Path, layout: Layout, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of `read_rows` one by one; the file is read only as far as requested."""
    names = tuple(dict.fromkeys(names))
    match layout.format:
        case "parquet":
            yield from _parquet_rows(path, names)
        case "udhr":
            yield from declaration_rows(path)
        case "jsonl":
            yield from (row for _, row in _json_rows(path, layout))
        case "conll" | "conllu" | "brown":
            yield from word_sentences(path, layout.format, layout.header, layout.encoding)
        case _:
            yield from (dict(zip(names, values, strict=True)) for values in _table_rows(path, layout, names))


def _lacks(path: Path, name: str, there: Sequence[str]) -> InputError:
    return InputError(f"{path.name}: no column {name!r} in the data; it has {', '.join(map(str, there))}")


def _columns_of(path: Path, names: Sequence[str], there: Sequence[str]) -> None:
    """InputError if one of `names` is missing or occurs twice."""
    for name in names:
        if name not in there:
            raise _lacks(path, name, there)
        if list(there).count(name) > 1:
            raise InputError(f"{path.name}: two columns are named {name!r}; column names must differ")


def _parquet(path: Path, layout: Layout, names: tuple[str, ...]) -> ColumnValues:
    with open_parquet(path) as table:
        _columns_of(path, names, table.schema_arrow.names)
        classes = _class_names(table.schema_arrow.metadata or {})
        read = table.read(columns=list(names))
        values = {name: read.column(name).to_pylist() for name in names}
    return ColumnValues(values, {name: classes[name] for name in names if name in classes})


def _parquet_rows(path: Path, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with open_parquet(path) as table:
        _columns_of(path, names, table.schema_arrow.names)
        for piece in table.iter_batches(batch_size=1_000, columns=list(names)):
            yield from piece.to_pylist()


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Column -> class names, as `datasets` writes them into a parquet file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        plain = {name: _of_one_value(feature) for name, feature in features.items()}
        labelled = {name: one["names"] for name, one in plain.items() if one.get("_type") == "ClassLabel"}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: tuple(map(str, names)) for name, names in labelled.items()}


def _of_one_value(feature: Any) -> dict[str, Any]:
    """The feature of a column's values, or of their items where they are lists."""
    while isinstance(feature, list) or "feature" in feature:
        feature = feature[0] if isinstance(feature, list) else feature["feature"]
    return dict(feature)


def _jsonl(path: Path, layout: Layout, names: tuple[str, ...]) -> ColumnValues:
    values: dict[str, list[Any]] = {name: [] for name in names}
    seen: set[str] = set()
    for _, row in _json_rows(path, layout):
        seen |= row.keys()
        for name in names:
            values[name].append(row.get(name))
    for name in names if any(values.values()) else ():
        if name not in seen:
            raise _lacks(path, name, sorted(seen))
    return ColumnValues(values)


def _json_rows(path: Path, layout: Layout) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line that is not blank."""
    with open_text(path, layout.encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path.name}:{number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise InputError(f"{path.name}:{number}: {line.strip()[:40]!r} is no JSON object")
            yield number, row


def _table(path: Path, layout: Layout, names: tuple[str, ...]) -> ColumnValues:
    values: dict[str, list[Any]] = {name: [] for name in names}
    for row in _table_rows(path, layout, names):
        for name, value in zip(names, row, strict=True):
            values[name].append(value)
    return ColumnValues(values)


def _table_rows(path: Path, layout: Layout, names: tuple[str, ...]) -> Iterator[list[str]]:
    """The values of `names` in each row of a csv or tsv file."""
    with open_text(path, layout.encoding) as lines:
        records = _records(path, lines, layout.format)
        header = layout.header or next((fields for _, fields in records), None)
        if header is None:
            return
        _columns_of(path, names, header)
        places = [list(header).index(name) for name in names]
        for line, fields in records:
            if len(fields) != len(header):
                wanted = (
                    f"the header has {len(header)}"
                    if layout.header is None
                    else f"`header` names {len(header)}"
                )
                raise InputError(
                    f"{path.name}:{line}: a torn line: {len(fields)} field{'s' * (len(fields) != 1)}, {wanted}"
                )
            yield [fields[place] for place in places]


def _records(path: Path, lines: Iterator[str], format: str) -> Iterator[tuple[int, list[str]]]:
    """(first line, fields) of each record; blank lines are skipped."""
    csv.field_size_limit(sys.maxsize)  # a text may be longer than the module's 128 KiB
    dialect: dict[str, Any] = (
        {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if format == "tsv" else {"strict": True}
    )
    reader = csv.reader(lines, **dialect)
    while True:
        begins = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path.name}:{begins}: a torn line: {error}") from error
        if fields:
            yield begins, fields


def _declaration(path: Path, layout: Layout, names: tuple[str, ...]) -> ColumnValues:
    rows = list(declaration_rows(path))
    _columns_of(path, names, ("id", "text"))
    return ColumnValues({name: [row[name] for row in rows] for name in names})


def _sentences(path: Path, layout: Layout, names: tuple[str, ...]) -> ColumnValues:
    """Lists of words and of what stands beside them."""
    rows = list(word_sentences(path, layout.format, layout.header, layout.encoding))
    if rows:
        _columns_of(path, names, tuple(rows[0]))
    return ColumnValues({name: [row[name] for row in rows] for name in names})


_READERS: dict[str, Callable[[Path, Layout, tuple[str, ...]], ColumnValues]] = {
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _table,
    "tsv": _table,
    "udhr": _declaration,
    "conll": _sentences,
    "conllu": _sentences,
    "brown": _sentences,
}
