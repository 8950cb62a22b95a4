"""Rows of one split on disk, as they were read: columns text, text_pair, row, label."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def cached_frame(path: Path) -> pd.DataFrame:
    """The rows written by `cache_frame`. OSError or ArrowException where there are none."""
    with path.open("rb") as file:
        table = pq.read_table(file)
    texts = {name: table.column(name).to_pylist() for name in ("text", "text_pair")}
    frame = pd.DataFrame(texts, dtype=object)
    for name in ("row", "label"):
        frame[name] = table.column(name).to_numpy()
    return frame


def cache_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write the rows to a temporary file and rename it to `path`."""
    columns = {
        "text": pa.array(frame["text"].tolist(), pa.large_string()),
        "text_pair": pa.array(frame["text_pair"].tolist(), pa.large_string()),
        "row": pa.array(frame["row"].to_numpy()),
        "label": pa.array(frame["label"].to_numpy()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(pa.table(columns), file)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
