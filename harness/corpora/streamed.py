"""Documents of files that are read as a stream: each file is opened when it is needed, on this machine, the hub or the
web. `harness.formats.documents` does the same for local files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.assets.problems import first_cause
from harness.assets.web import Body
from harness.errors import AssetError, HarnessError
from harness.formats.documents import documents_of, json_texts, nonblank, paragraphs_of, parquet_texts
from harness.formats.opened import PACKED, UnreadableError


def streamed(file: Path | str, reader: str, field: str) -> Iterator[str]:
    """Documents of one file, by its path or address; opened when the first document is requested, and read only
    as far as needed.

    `reader`: one of `harness.spec.entries.STREAMED`. gz, xz and bz2 are decompressed while reading. Raises AssetError
    if the file cannot be read (further).
    """
    try:
        if isinstance(file, Path):
            yield from documents_of(file, reader, field)
        else:
            yield from _remote(file, reader, field)
    except UnreadableError as error:
        raise _broken_off(file, error) from error
    except (HarnessError, GeneratorExit):
        raise
    except Exception as error:  # what requests, the hub and the parsers raise shares no base class
        raise _broken_off(file, error) from error


def _broken_off(file: Path | str, error: BaseException) -> AssetError:
    reason = f"{file}: the stream broke off: {first_cause(error)}"
    return AssetError(f"{reason}. Start again: languages that were read to their end are kept")


def _remote(address: str, reader: str, field: str) -> Iterator[str]:
    """Documents of a file on the hub or the web."""
    name = PurePosixPath(address).name
    with _opened(address) as body:
        if reader == "parquet":
            import pyarrow.parquet

            yield from parquet_texts(pyarrow.parquet.ParquetFile(body), field, name)
            return
        unpack = PACKED.get(PurePosixPath(address).suffix)
        lines = io.TextIOWrapper(unpack(body, "rb") if unpack else body, encoding="utf-8", errors="replace")
        if reader == "jsonl":
            yield from json_texts(lines, field, name)
        else:
            yield from (paragraphs_of if reader == "paragraphs" else nonblank)(lines)


@contextmanager
def _opened(address: str) -> Iterator[IO[Any]]:
    """The bytes at an address, taken literally: no pattern in it is expanded."""
    if address.startswith("hf://"):
        from huggingface_hub import HfFileSystem

        with HfFileSystem().open(address, "rb") as file:
            yield file
    else:
        with io.BufferedReader(Body(address), 1 << 20) as body:
            yield body
