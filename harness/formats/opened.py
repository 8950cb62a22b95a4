"""Opening files for reading: decompressed by file extension, and never by a name that a library could expand."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from harness.errors import InputError
from harness.intact.stand_ins import refuse_stand_in

PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
"""File extension -> function that opens and decompresses it."""


class UnreadableError(InputError):
    """A file is cut short or damaged."""


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed. InputError if the file is truncated, damaged or a
    version control system's pointer."""
    refuse_stand_in(path, path.name)
    try:
        with PACKED.get(path.suffix, open)(path, "rb") as file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise unreadable(path, error) from error
    except OSError as error:
        if path.suffix not in PACKED:
            raise
        raise unreadable(path, error) from error  # what bz2 raises


@contextmanager
def open_text(path: Path, encoding: str = "utf-8") -> Iterator[Iterator[str]]:
    """The lines of a file, opened as by `open_bytes`, their ends unchanged. InputError with the line of a byte that the
    encoding does not allow, or of a NUL, which no text has."""
    # A byte order mark, which spreadsheets write, belongs to no value.
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        with open_bytes(path) as file:
            yield _without_nul(path, io.TextIOWrapper(file, encoding=codec, newline=""))
    except UnicodeError as error:
        raise InputError(
            f"{path.name}{_line_of_error(path, encoding)}: not in {encoding} ({error}); convert it, "
            "as `iconv -f latin1 -t utf-8` does"
        ) from error
    except LookupError as error:
        raise InputError(f"{path.name}: {error}") from error


def _without_nul(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise InputError(
                f"{path.name}:{number}: a NUL byte, as damaged files and UTF-16 have; convert the file to UTF-8"
            )
        yield line


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """A pyarrow `ParquetFile`. InputError if the file, or what the block reads of it, is damaged."""
    import pyarrow
    import pyarrow.parquet

    refuse_stand_in(path, path.name)
    with path.open("rb") as file:
        try:
            yield pyarrow.parquet.ParquetFile(file)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise unreadable(path, error) from error


_PARQUET = b"PAR1"
"""First and last bytes of a parquet file; the footer and its length precede the last ones."""


def require_whole_parquet(path: Path) -> None:
    """UnreadableError if a parquet file lacks its first or last bytes, as a truncated one does."""
    refuse_stand_in(path, path.name)
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(4)
        file.seek(max(0, size - 8))
        last = file.read(8)
    whole = size > 12 and first == _PARQUET == last[4:] and int.from_bytes(last[:4], "little") <= size - 12
    if not whole:
        raise UnreadableError(f"{path.name} cannot be read: it is cut short, or no parquet file")


def _line_of_error(path: Path, encoding: str) -> str:
    """`:LINE` of the first byte that cannot be decoded."""
    with open_bytes(path) as file:
        content = file.read()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return f":{content[: error.start].count(10) + 1}"
    except UnicodeError:
        pass
    return ""


def unreadable(path: Path, error: BaseException) -> UnreadableError:
    """The error that names the file and the first line of its reader's message."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UnreadableError(f"{path.name} cannot be read: {reason}")
