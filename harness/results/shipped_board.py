"""The board that ships: bundles beside the leaderboard, checked as `harness import` checks them and held as a database in
the cache, under the hash of their content.

    board = shipped_board(cache_dir)
    board.store                     # a Store like any other
    board.problems                  # a line for each bundle that was left out
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import harness
from harness.base import digest
from harness.counted import counted
from harness.errors import InputError
from harness.files import sha256_of, write_atomically
from harness.results import database as schema
from harness.results.bundle import import_readable
from harness.results.connect import writing
from harness.results.selection import mark_selected
from harness.results.store import Store

PLACE = Path(harness.__file__).parents[1] / "leaderboard" / "board"
"""Folder of the bundles: of the checkout, or of the installed package."""
MOST_BYTES = 20 * 2**20
"""Of all bundles together."""


@dataclass(frozen=True)
class ShippedBoard:
    """The database of the bundles that could be read."""

    store: Store
    problems: tuple[str, ...]
    """A line for each bundle that was left out."""

    @property
    def empty(self) -> bool:
        """Whether it holds no trial."""
        return bool(self.store.frame("SELECT count(*) = 0 AS none FROM trials")["none"].iloc[0])

    def sentence(self) -> str:
        """What it is: specs, hardware, dates and commits, as recorded by its trials."""
        found = self.store.frame(
            "SELECT list_sort(list_distinct(list(spec))) AS specs, list_sort(list_distinct(list(device))) AS devices, "
            "count(*) AS trials FROM trials"
        ).iloc[0]
        if not found["trials"]:
            return "The board that ships with this version has not been measured yet."
        return (
            f"Shipped board of {', '.join(found['specs'])}: {counted(found['trials'], 'trial')} on "
            f"{', '.join(found['devices'])}, {days_and_commits(self.store)}."
        )


def shipped_board(cache_dir: Path, place: Path | None = None, names: str = "*.zip") -> ShippedBoard:
    """The board of the bundles in `place` (default: `PLACE`), or of those of them whose names match the pattern `names`;
    built on the first call, afterwards read from below `cache_dir`.

    InputError where the cache cannot be written.
    """
    place = place or PLACE
    bundles = sorted(place.glob(names)) if place.is_dir() else []
    key = digest([[path.name, sha256_of(path)] for path in bundles] + [harness.__version__, schema.VERSION])
    folder = cache_dir / "boards" / key
    note = folder / "problems.json"
    if not note.is_file():
        try:
            _build(bundles, folder)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); name a cache that can with the variable HARNESS_CACHE"
            ) from error
    return ShippedBoard(Store(folder / "results.duckdb"), tuple(json.loads(note.read_text("utf-8"))))


def _build(bundles: Sequence[Path], folder: Path) -> None:
    """Check the bundles into a new folder, then rename it into place; a process that came first is left its own."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        small, problems = _within_bounds(bundles)
        _, more = import_readable(small, fresh)
        Store(fresh / "results.duckdb").ingest()
        write_atomically(fresh / "problems.json", json.dumps([*problems, *more]))
        if not (folder / "problems.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _within_bounds(bundles: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The bundles that fit into `MOST_BYTES` together, in order of name, and a line for each of the rest."""
    small: list[Path] = []
    problems: list[str] = []
    left = MOST_BYTES
    for path in bundles:
        size = path.stat().st_size
        if size <= left:
            small.append(path)
            left -= size
        else:
            problems.append(f"{path}: the board's bundles are larger than {MOST_BYTES >> 20} MiB together")
    return small, problems


def joined(own: Store, board: ShippedBoard, cache_dir: Path) -> Store:
    """A database of one's own trials and of the board's, for comparing the two; where both have a trial, the own one
    holds unless it has not ended well. Records only: what is read from trial folders is not at hand."""
    key = digest([str(own.path.resolve()), *own.state(), str(board.store.path)])
    path = cache_dir / "boards" / f"joined-{key}.duckdb"
    if path.is_file():
        return Store(path)
    names = own.frame("SELECT table_name FROM duckdb_tables() WHERE table_name <> 'harness_schema'")[
        "table_name"
    ]
    mine, shipped = (
        {name: one.frame(f"SELECT * FROM {name}") for name in names} for one in (own, board.store)
    )
    ended = set(mine["trials"].query("status in ('ok', 'pruned')")["trial_id"])
    theirs = set(shipped["trials"]["trial_id"]) - ended
    with tempfile.TemporaryDirectory(prefix=".joined.", dir=path.parent) as scratch:
        fresh = Path(scratch) / path.name
        with writing(fresh) as con:
            for name in names:
                for rows, kept in ((mine[name], False), (shipped[name], True)):
                    con.register("new_rows", rows[rows["trial_id"].isin(theirs) == kept])
                    con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM new_rows")
                    con.unregister("new_rows")
            mark_selected(con)
        for earlier in path.parent.glob("joined-*.duckdb"):
            earlier.unlink(missing_ok=True)
        fresh.rename(path)
    return Store(path)


def days_and_commits(store: Store) -> str:
    """`2026-11-30 to 2026-12-01, commit 4bd9579`; empty where no trial has ended."""
    found = store.frame(
        "SELECT min(started_at) AS first, max(finished_at) AS last, "
        "list_sort(list_distinct(list(left(provenance ->> '$.commit', 7)))) AS commits "
        "FROM trials WHERE finished_at IS NOT NULL"
    ).iloc[0]
    if not found["last"] > 0:
        return ""
    days = sorted({_day(found["first"]), _day(found["last"])})
    commits = [] if found["commits"] is None else list(found["commits"])
    named = (
        f"{'commit' if len(commits) == 1 else 'commits'} {', '.join(commits)}"
        if commits
        else "commit not recorded"
    )
    return f"{' to '.join(days)}, {named}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
