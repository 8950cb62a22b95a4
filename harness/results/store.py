"""The database of results: an index of the trial folders that can be rebuilt from them at any time.

    store = Store(runs_dir / "results.duckdb")
    store.record_all(entries)               # as results arrive: one short transaction
    store.ingest(runs_dir)                  # rebuild from the folders, atomically
    store.frame("SELECT * FROM cells")

One process writes at a time; readers open the file read-only and wait out a writer's lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from harness.counted import counted
from harness.errors import InputError
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Progress, Result
from harness.records.trial import Trial
from harness.results import database as schema
from harness.results import tables as rows
from harness.results.connect import PATIENCE, exclusive, reading, writing
from harness.results.selection import mark_selected

FEW = 20
"""Up to this many rows are inserted one by one; a data frame costs more to set up, and less per row."""
DEFAULT = Path("runs/results.duckdb")
"""Default database of the leaderboard, without --db and HARNESS_DB."""


@dataclass(frozen=True)
class IngestReport:
    """Counts of what a rebuild read."""

    trials: int
    results: int
    unreadable: tuple[str, ...]
    """Folders whose trial.json or result.json cannot be read; they are skipped."""

    def __str__(self) -> str:
        broken = (
            f", {len(self.unreadable)} unreadable: {', '.join(self.unreadable[:5])}"
            if self.unreadable
            else ""
        )
        return f"{counted(self.trials, 'trial')}, {self.results} with a result{broken}"


@dataclass(frozen=True)
class Store:
    """The database at `path`."""

    path: Path = DEFAULT
    patience: float = PATIENCE
    """Seconds to wait for another process's lock."""

    @property
    def exists(self) -> bool:
        """Whether the file exists; it may still be empty or damaged."""
        return self.path.is_file()

    @property
    def runs_dir(self) -> Path:
        """The folder that the database indexes: by convention its own."""
        return self.path.parent

    def state(self) -> tuple[int, ...]:
        """Cache key that changes whenever the data does: (inode, size, time of change) of the file and its log."""
        stamps: list[int] = []
        for path in (self.path, _log_of(self.path)):
            try:
                stat = path.stat()
                stamps += [stat.st_ino, stat.st_size, stat.st_mtime_ns]
            except FileNotFoundError:
                stamps += [0, 0, 0]
        return tuple(stamps)

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; keep it short, since writers wait for it."""
        with reading(self.path, self.patience) as con:
            yield con

    def frame(self, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pd.DataFrame:
        """The result of one query; parameters by position (`?`) or by name (`$name`)."""
        given = dict(parameters) if isinstance(parameters, Mapping) else list(parameters)
        with self.read() as con:
            return con.execute(query, given).df()

    def plan(self, trials: Iterable[Trial]) -> None:
        """Record planned trials, so that progress can be shown as a share; known trials stay unchanged."""
        planned = list(trials)
        family = {trial.id: trial for trial in planned}
        with writing(self.path, self.patience) as con:
            known = {trial_id for (trial_id,) in con.execute("SELECT trial_id FROM trials").fetchall()}
            new = [
                rows.trial_row(trial, None, parents=family, status="planned")
                for trial in planned
                if trial.id not in known
            ]
            _insert(con, "trials", new)

    def unfinished(self) -> list[str]:
        """Ids of the trials that have not ended well according to the database."""
        with self.read() as con:
            rest = con.execute("SELECT trial_id FROM trials WHERE status NOT IN ('ok', 'pruned')").fetchall()
        return [trial_id for (trial_id,) in rest]

    def find_trial(self, prefix: str) -> str:
        """The one trial whose id starts with `prefix`; InputError for none or several."""
        matches = self.frame(
            "SELECT trial_id FROM trials WHERE starts_with(trial_id, ?) ORDER BY 1", [prefix]
        )
        ids = matches["trial_id"].astype(str).tolist()
        if not ids:
            raise InputError(f"no trial's id starts with {prefix!r}; `harness status` counts them by state")
        if len(ids) > 1:
            raise InputError(
                f"{len(ids)} trials start with {prefix!r}: {', '.join(ids[:5])}; give more digits"
            )
        return ids[0]

    def record(
        self,
        trial: Trial,
        result: Result | None = None,
        *,
        progress: Iterable[Progress] = (),
        origin: str | None = None,
    ) -> None:
        """Record one trial: as running without a result, else with everything its result holds. Replaces earlier rows
        of the trial."""
        self.record_all([Recorded(trial, result, rows.progress_rows(trial.id, progress), origin)])

    def record_all(self, entries: Sequence[Recorded]) -> None:
        """`record` for several trials, in one transaction: opening and closing the file costs more than the rows."""
        with writing(self.path, self.patience) as con:
            family = _ancestors(con, [entry.trial for entry in entries])
            content = _content(entries, family)
            _remove(con, [entry.trial.id for entry in entries])
            for table, new in content.items():
                _insert(con, table, new)
            finetuned = [
                row for row in content["trials"] if row["kind"] == "finetune" and row["status"] != "running"
            ]
            if finetuned:
                mark_selected(con, {(row["encoder_key"], row["task"]) for row in finetuned})

    def ingest_folders(self, folders: Iterable[TrialFolder]) -> int:
        """Record the trials of these folders that can be read; returns their number."""
        entries = [entry for folder in folders if (entry := read_recorded(folder))]
        if entries:
            self.record_all(entries)
        return len(entries)

    def ingest(self, runs_dir: Path | None = None) -> IngestReport:
        """Rebuild the whole database from the trial folders: into a new file, then renamed over the old one.

        A damaged, older or newer file in its place does not matter: the folders are authoritative.
        """
        runs_dir = runs_dir or self.runs_dir
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.path, self.patience):
            content = _read_folders(runs_dir)
            fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            try:
                for leftover in (fresh, _log_of(fresh)):
                    leftover.unlink(missing_ok=True)
                write_database(fresh, content.entries)
                _log_of(self.path).unlink(missing_ok=True)  # it belongs to the file that is replaced
                os.replace(fresh, self.path)
            finally:
                fresh.unlink(missing_ok=True)
                _log_of(fresh).unlink(missing_ok=True)
        with_result = sum(entry.result is not None for entry in content.entries)
        return IngestReport(len(content.entries), with_result, tuple(content.unreadable))


@dataclass(frozen=True)
class Recorded:
    """Content of one trial's folder."""

    trial: Trial
    result: Result | None
    progress: list[rows.Row]
    """Rows of the learning curve, thinned."""
    origin: str | None = None
    """The bundle it was imported from; None for a trial run here."""


@dataclass(frozen=True)
class _Found:
    entries: list[Recorded]
    unreadable: list[str]


def read_recorded(folder: TrialFolder) -> Recorded | None:
    """Content of a folder; None if its trial cannot be read."""
    trial = folder.read_trial()
    if trial is None:
        return None
    progress = rows.progress_rows(trial.id, folder.read_progress())
    return Recorded(trial, folder.read_result(), progress, _origin(folder))


def _read_folders(runs_dir: Path) -> _Found:
    content = _Found([], [])
    for folder in trial_folders(runs_dir):
        entry = read_recorded(folder)
        if entry is None or (entry.result is None and (folder.path / "result.json").exists()):
            content.unreadable.append(folder.path.name)
        if entry is not None:
            content.entries.append(entry)
    return content


def _content(entries: Sequence[Recorded], family: Mapping[str, Trial]) -> dict[str, list[rows.Row]]:
    """Table -> rows; `family` holds the ancestors of the trials."""
    trials = [
        rows.trial_row(entry.trial, entry.result, parents=family) | {"origin": entry.origin}
        for entry in entries
    ]
    finished = [
        (entry.trial, entry.result, row) for entry, row in zip(entries, trials, strict=True) if entry.result
    ]
    return {
        "trials": trials,
        "scores": [score for trial, result, _ in finished for score in rows.score_rows(trial, result)],
        "measurements": [
            one for trial, result, row in finished for one in rows.measurement_rows(trial, result, row)
        ],
        "rarity": [one for trial, result, _ in finished for one in rows.rarity_rows(trial, result)],
        "layer_pairs": [pair for trial, result, _ in finished for pair in rows.layer_rows(trial, result)],
        "transfers": [one for trial, result, _ in finished for one in rows.transfer_rows(trial, result)],
        "progress": [point for entry in entries for point in entry.progress],
    }


def write_database(path: Path, entries: Sequence[Recorded]) -> None:
    """Write a whole database at once, to a path where there is none."""
    content = _content(entries, {entry.trial.id: entry.trial for entry in entries})
    con = duckdb.connect(str(path))
    try:
        schema.migrate(con)
        con.execute("BEGIN")
        for table, new in content.items():
            _insert(con, table, new)
        mark_selected(con)
        con.execute("COMMIT")
    finally:
        con.close()


def _insert(con: duckdb.DuckDBPyConnection, table: str, content: list[rows.Row]) -> None:
    """Append rows; missing columns are null."""
    if not content:
        return
    columns = [
        name
        for name in con.execute(f"SELECT * FROM {table} LIMIT 0").df().columns.astype(str)
        if any(name in row for row in content)
    ]
    names = ", ".join(f'"{name}"' for name in columns)
    if len(content) <= FEW:
        marks = ", ".join("?" * len(columns))
        con.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",
            [[row.get(name) for name in columns] for row in content],
        )
        return
    frame = pd.DataFrame(
        {name: pd.Series([row.get(name) for row in content], dtype=object) for name in columns}
    )
    con.register("new_rows", frame)
    try:
        con.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM new_rows")
    finally:
        con.unregister("new_rows")


def _remove(con: duckdb.DuckDBPyConnection, trial_ids: Sequence[str]) -> None:
    for table in ("trials", "scores", "measurements", "rarity", "layer_pairs", "transfers", "progress"):
        con.execute(f"DELETE FROM {table} WHERE trial_id IN (SELECT unnest(?))", [trial_ids])


def _ancestors(con: duckdb.DuckDBPyConnection, trials: Sequence[Trial]) -> dict[str, Trial]:
    """These trials and their ancestors, as far as the database knows them."""
    known = {trial.id: trial for trial in trials}
    open_ids = {parent for trial in trials for parent in trial.parents}
    while open_ids := open_ids - known.keys():
        stored = con.execute(
            "SELECT trial_id, kind, parents, config_id, labels, config, data FROM trials WHERE trial_id "
            "IN (SELECT unnest(?))",
            [sorted(open_ids)],
        ).fetchall()
        parents = [rows.trial_of(*one) for one in stored]
        known |= {parent.id: parent for parent in parents}
        open_ids = {above for parent in parents for above in parent.parents}
    return known


def _origin(folder: TrialFolder) -> str | None:
    """Origin of an imported folder; None for a trial run here."""
    try:
        noted = json.loads((folder.path / "origin.json").read_text(encoding="utf-8"))
        return " · ".join(str(part) for part in (noted["bundle"], noted["origin"]) if part)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _log_of(path: Path) -> Path:
    """DuckDB's write-ahead log beside a file."""
    return path.with_name(path.name + ".wal")
