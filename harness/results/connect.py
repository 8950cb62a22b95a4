"""Connections to the database file: short ones for writing, one writer at a time, and readers that wait for a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from harness.errors import InputError
from harness.results import database as schema
from harness.results.holders import named_in, of_lock

PATIENCE = 60.0
"""Seconds to wait for the lock of another harness; a write takes about 20 ms, rebuilding a large database a minute."""
BRIEFLY = 2.0
"""Seconds to wait for another program, which may keep the database open indefinitely."""


@contextmanager
def writing(path: Path, patience: float = PATIENCE) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that writes, inside one transaction; the file is created or migrated if needed."""
    with exclusive(path, patience), _flock(_gate(path), fcntl.LOCK_EX, path, patience):
        con = _open(path, read_only=False, patience=patience)
        try:
            with _explained(path):
                schema.migrate(con)
                con.execute("BEGIN")
                yield con
                con.execute("COMMIT")
        except BaseException:
            _give_up(con)
            raise
        finally:
            con.close()


@contextmanager
def reading(path: Path, patience: float = PATIENCE) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection. InputError if the file is missing, damaged, not a harness database or
    from a newer harness."""
    if not path.exists():
        raise InputError(
            f"{path}: there is no database yet; `harness run SPEC` makes one, `harness ingest` rebuilds "
            "one from trial folders"
        )
    if not path.is_file():
        raise InputError(f"{path}: is no file, and so no database; name one with --db")
    con = _open_to_read(path, patience)
    try:
        with _explained(path):
            version = schema.version_of(con)
            schema.check_version(version)
        if version < schema.VERSION:
            con.close()
            with writing(path, patience):
                pass  # brings an older file up to date
            con = _open_to_read(path, patience)
        with _explained(path):
            yield con
    finally:
        con.close()


def _open_to_read(path: Path, patience: float) -> duckdb.DuckDBPyConnection:
    """Open once no writer is waiting: a steady flow of readers would otherwise block a writer forever."""
    if not _gate(path).exists():
        return _open(path, read_only=True, patience=patience)
    with _flock(_gate(path), fcntl.LOCK_SH, path, patience):
        return _open(path, read_only=True, patience=patience)


@contextmanager
def exclusive(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Exclusive lock on writing `path`, for one process or thread; the system releases it if its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _flock(path.with_name(f".{path.name}.lock"), fcntl.LOCK_EX, path, patience):
        yield


def _gate(path: Path) -> Path:
    """Lock file: a writer holds it while the database is open, and a reader waits for it."""
    return path.with_name(f".{path.name}.gate")


@contextmanager
def _flock(lock: Path, mode: int, path: Path, patience: float) -> Iterator[None]:
    try:
        handle = os.open(lock, os.O_RDONLY if mode == fcntl.LOCK_SH else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        if mode == fcntl.LOCK_SH:  # a reader who may not touch the lock can still wait for the file itself
            yield
            return
        raise InputError(
            f"{path}: cannot be written here ({error.strerror}); choose another place with --db"
        ) from error
    try:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, mode | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{path}: being written by {of_lock(lock) or 'another process'} for more than "
                        f"{patience:.0f} s; try again"
                    ) from None
                time.sleep(random.uniform(0.002, 0.02))
        yield
    finally:
        os.close(handle)


def _open(path: Path, *, read_only: bool, patience: float) -> duckdb.DuckDBPyConnection:
    """Open, waiting while another process or thread has the file open in the other mode."""
    start = time.monotonic()
    pause = 0.005
    while True:
        try:
            # one thread suffices for a write of a few rows, and takes no core from training
            return duckdb.connect(str(path), read_only=read_only, config={} if read_only else {"threads": 1})
        except duckdb.Error as error:
            if not _is_busy(error):
                raise _damaged(path, error) from error
            holder = named_in(str(error)) or of_lock(path)
            foreign = holder is not None and not holder.is_ours
            if time.monotonic() > start + (min(patience, BRIEFLY) if foreign else patience):
                raise InputError(
                    f"{path}: held open by {holder or 'another process'}; close it there, or try again later"
                ) from error
        time.sleep(random.uniform(0.5, 1.0) * pause)
        pause = min(2 * pause, 0.1)


def _is_busy(error: duckdb.Error) -> bool:
    text = str(error)
    return any(
        sign in text
        for sign in (
            "Could not set lock",
            "different configuration",
            "already attached",
            "Unique file handle conflict",
        )
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Add the file's name to our own errors, and turn a full disk and signs of damage into such errors."""
    try:
        yield
    except InputError as error:
        text = str(error)
        raise (error if text.startswith(str(path)) else InputError(f"{path}: {text}")) from error
    except (
        duckdb.IOException,
        duckdb.SerializationException,
        duckdb.InternalException,
        duckdb.FatalException,
        duckdb.TransactionException,
    ) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: duckdb.Error) -> InputError:
    first = str(error).strip().splitlines()[0]
    if os.strerror(errno.ENOSPC) in str(error):
        return InputError(
            f"{path}: cannot be written, the disk is full; make room and run it again ({first})"
        )
    return InputError(
        f"{path}: cannot be read as a results database ({first}); rebuild it from the trial folders with "
        "`harness ingest`"
    )


def _give_up(con: duckdb.DuckDBPyConnection) -> None:
    with suppress(duckdb.Error):  # beyond a rollback, closing drops the transaction
        con.execute("ROLLBACK")
