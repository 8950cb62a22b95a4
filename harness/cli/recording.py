"""Puts results into the database while a run goes on. The folders stay the truth: what cannot be written now,
`harness ingest` puts in later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import InputError
from harness.folders import TrialFolder, trial_folders
from harness.plan.cost import hindsight
from harness.records import Result, Trial
from harness.results.store import Store
from harness.schedule.events import Listener, RunSummary, Silent


def open_store(store: Store, trials: Iterable[Trial], runs_dir: Path) -> None:
    """Note the plan in the database; one that is missing while trials are recorded is first rebuilt from
    their folders.

    InputError where the file is damaged, none of ours or from a newer harness: nothing is touched."""
    if not store.exists and next(trial_folders(runs_dir), None) is not None:
        store.ingest(runs_dir)
    store.plan(trials)


class Recorder(Silent):
    """A listener that writes every result into the database, in short transactions."""

    def __init__(self, store: Store, runs_dir: Path, tell: Listener) -> None:
        """`tell` hears of what could not be written."""
        self.store = store
        self.runs_dir = runs_dir
        self.tell = tell
        self._missed: list[str] = []

    def on_trial_started(self, trial: Trial) -> None:
        """Note that it runs."""
        self._write(trial.id)

    def on_result(self, result: Result) -> None:
        """Put in what it left."""
        self._write(result.trial_id)

    def on_end(self, summary: RunSummary) -> None:
        """Try once more what could not be written."""
        missed, self._missed = self._missed, []
        for trial_id in missed:
            self._write(trial_id)
        if self._missed:
            self.tell.on_message(
                f"{len(self._missed)} results are not in {self.store.path}; `harness ingest` puts them in"
            )

    def _write(self, trial_id: str) -> None:
        folder = TrialFolder.of(self.runs_dir, trial_id)
        if not (folder.path / "trial.json").is_file():
            return  # a worker has it, and has not begun
        try:
            self.store.ingest_folder(folder)
        except (InputError, OSError) as error:
            self._missed.append(trial_id)
            self.tell.on_message(f"{time.strftime('%H:%M:%S')} the database could not be written: {error}")


class Reckoning(Silent):
    """A listener that compares what trials took with what was estimated."""

    def __init__(self, estimated: Mapping[str, float]) -> None:
        """`estimated`: trial id -> seconds."""
        self._estimated = estimated
        self._results: list[Result] = []

    def on_result(self, result: Result) -> None:
        """Remember what it took."""
        self._results.append(result)

    @property
    def told(self) -> str | None:
        """How far off the estimate was, in a line; None where nothing ended well."""
        return hindsight(self._estimated, self._results)
