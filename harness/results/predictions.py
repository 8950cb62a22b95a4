"""Predictions of fine-tuning trials, read as plain columns, so that scores can be recomputed and models paired."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.errors import InputError

COLUMNS = ["split", "language", "row", "label", "prediction"]
"""Columns of every predictions file; scores per class may follow."""
LABELS = b"labels"
"""Metadata key of the label names in order, as a JSON list."""
MOST_BYTES = 512 * 2**20
MOST_ROWS = 20_000_000
MOST_UNPACKED = 4 * 2**30


def read(path: Path) -> pd.DataFrame:
    """The columns `COLUMNS`. InputError if the file is oversized, not Parquet, or lacks one."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: larger than {MOST_BYTES >> 20} MiB")
        with pq.ParquetFile(path) as file:
            lacking = set(COLUMNS) - set(file.schema_arrow.names)
            if lacking:
                raise InputError(f"{path}: lacks the column(s) {', '.join(sorted(lacking))}")
            if file.metadata.num_rows > MOST_ROWS:
                raise InputError(f"{path}: more than {MOST_ROWS:,} rows")
            if (
                sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
                > MOST_UNPACKED
            ):
                raise InputError(f"{path}: unpacks to more than {MOST_UNPACKED >> 30} GiB")
            for name in ("label", "prediction"):
                kind = file.schema_arrow.field(name).type
                kind = kind.value_type if pa.types.is_list(kind) else kind
                if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                    raise InputError(f"{path}: {name} holds {kind}, not numbers")
            return file.read(columns=COLUMNS).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as predictions ({str(error).splitlines()[0]})") from error


def label_names(path: Path) -> tuple[str, ...] | None:
    """The names that labels and predictions index; None if the file does not state them, as files of older versions."""
    try:
        stated = (pq.read_schema(path).metadata or {}).get(LABELS)
        names = None if stated is None else json.loads(stated)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as predictions ({str(error).splitlines()[0]})") from error
    return None if names is None else tuple(map(str, names))


def compact(path: Path, out: Path) -> None:
    """Write the columns `COLUMNS` and the label names to `out`: whole numbers in the narrowest type that holds them,
    packed by zstd; other numbers as they are, so that scores recompute exactly."""
    table = pq.read_table(path, columns=COLUMNS)
    for index, name in enumerate(COLUMNS):
        table = table.set_column(index, name, _narrowest(table.column(name).combine_chunks()))
    pq.write_table(
        table, out, compression="zstd", compression_level=19, write_statistics=False, store_schema=False
    )


def _narrowest(values: pa.Array) -> pa.Array:
    if not pa.types.is_integer(values.type) or not len(values):
        return values
    ends = pc.min_max(values).as_py()
    fitting = (np.iinfo(kind) for kind in ("int8", "int16", "int32", "int64"))
    kind = next(one.dtype for one in fitting if one.min <= ends["min"] and ends["max"] <= one.max)
    return values.cast(pa.from_numpy_dtype(kind))
