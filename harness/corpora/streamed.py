"""Documents of files that are read as a stream: each is opened when its turn comes, here, on the hub (both by
`datasets.load_dataset(streaming=True)`) or on the web. `harness.formats.documents` gives the same documents of files that
are here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from harness.assets.problems import first_cause
from harness.assets.web import Body
from harness.errors import AssetError, HarnessError
from harness.formats.documents import PACKED, json_texts, nonblank, paragraphs_of

_PIECE = 1024
"""Rows handed on at a time."""


def streamed(file: Path | str, reader: str, field: str, cache_dir: Path) -> Iterator[str]:
    """Documents of one file, by its path or address; opened when the first is asked for, read no further than the
    last.

    `reader`: one of `harness.spec.entries.STREAMED`. gz, xz and bz2 are unpacked on the way. Raises AssetError where
    the file cannot be read (on)."""
    address, name = str(file), PurePosixPath(file).name
    try:
        if reader == "parquet":
            rows = _rows(address, "parquet", field, cache_dir, columns=[field])
            yield from (text for text in rows if isinstance(text, str) and text.strip())
            return
        lines = _web_lines(address) if address.startswith("http") else _text_lines(address, cache_dir)
        if reader == "jsonl":
            yield from json_texts(lines, field, name)
        else:
            yield from (paragraphs_of if reader == "paragraphs" else nonblank)(lines)
    except (HarnessError, GeneratorExit):
        raise
    except Exception as error:  # what fsspec, the hub and the parsers raise shares no base class
        told = f"{file}: the stream broke off: {first_cause(error)}"
        raise AssetError(f"{told}. Start again: languages that were read to their end are kept") from error


def _text_lines(file: str, cache_dir: Path) -> Iterator[str]:
    return _rows(file, "text", "text", cache_dir, encoding_errors="replace")


def _rows(file: str, builder: str, column: str, cache_dir: Path, **options: Any) -> Iterator[Any]:
    """What a column holds, row by row."""
    import datasets

    rows = datasets.load_dataset(
        builder,
        data_files={"text": [file]},
        split="text",
        streaming=True,
        cache_dir=str(cache_dir / "datasets"),
        **options,
    )
    for piece in rows.iter(batch_size=_PIECE):
        yield from piece[column]


def _web_lines(address: str) -> Iterator[str]:
    with io.BufferedReader(Body(address), 1 << 20) as body:
        unpack = PACKED.get(PurePosixPath(address).suffix)
        yield from io.TextIOWrapper(
            unpack(body, "rb") if unpack else body, encoding="utf-8", errors="replace"
        )
