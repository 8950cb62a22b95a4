"""Content that leaves a file named `executed...` behind if it is executed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._mark),)


def pickled(place: Path) -> bytes:
    """A pickle that makes a folder when it is loaded."""
    return pickle.dumps(_Bomb(place / "executed-by-pickle"))


def torch_zip(place: Path) -> bytes:
    """The same as a torch checkpoint."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(place))
        archive.writestr("archive/version", "3\n")
    return sink.getvalue()


def parquet_with_a_pickled_type(place: Path) -> bytes:
    """A table whose column type is a pickle, which old versions of pyarrow loaded by default."""
    plain = pa.field("prediction", pa.int64())
    names = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickled(place)}
    table = pa.table([pa.array([1, 2, 3])], schema=pa.schema([plain.with_metadata(names)]))
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


def python_source(place: Path) -> str:
    """A module that makes a folder when it is imported."""
    return f"import os\nos.mkdir({str(place / 'executed-by-import')!r})\nclass Model: pass\n"
