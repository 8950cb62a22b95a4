"""Whether a command can write where its options say: asked before it does anything else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import InputError


def require_results(runs_dir: Path, db: Path | None) -> None:
    """InputError unless trials can be written to `--runs-dir` and rows to `--db`."""
    require_folder("--runs-dir", runs_dir)
    require_database(runs_dir, db)


def require_database(runs_dir: Path, db: Path | None) -> None:
    """InputError unless the database that `--db` and `--runs-dir` select can be written."""
    require_file("--db", db or runs_dir / "results.duckdb")


def require_folder(option: str, folder: Path) -> None:
    """InputError unless `folder`, which `option` names, is one that can be written to, or can be made."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(
            f"{option} {folder}: is no folder; name a folder that can be written to, or a new one"
        )
    _require_room(option, folder, folder)


def require_file(option: str, file: Path) -> None:
    """InputError unless `file`, which `option` names, can be written: it is a regular file, or new."""
    if os.path.lexists(file) and not file.is_file():
        what = "a folder" if file.is_dir() else "no regular file"
        raise InputError(f"{option} {file}: is {what}; name a file that can be written, or a new one")
    _require_room(option, file, file.parent)


def require_new(option: str, path: Path) -> None:
    """InputError unless a file or folder can be made at `path`, which `option` names, and where nothing is yet."""
    if os.path.lexists(path):
        raise InputError(f"{option} {path}: exists already; name a new file or folder")
    _require_room(option, path, path.parent)


def _require_room(option: str, named: Path, folder: Path) -> None:
    """InputError unless something new can be made in `folder`, or where it would be."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(
            f"{option} {named}: nothing can be written in {there} ({error.strerror}); name a place where you may write"
        ) from error
