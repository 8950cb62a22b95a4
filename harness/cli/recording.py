"""Puts results into the database while a run goes on. The folders stay the truth: what cannot be written now,
`harness ingest` puts in later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import InputError
from harness.plan.cost import hindsight
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.records.trial import Trial
from harness.results.store import Store
from harness.schedule.listener import Listener, RunSummary

RETRY_SECONDS = 30.0
"""After a write that failed, the next is tried so much later."""


def open_store(store: Store, trials: Iterable[Trial], runs_dir: Path) -> None:
    """Note the plan in the database, and what an earlier driver had no time to note; a database that is missing
    while trials are recorded is first rebuilt from their folders.

    InputError where the file is damaged, none of ours or from a newer harness: nothing is touched."""
    if not store.exists and next(trial_folders(runs_dir), None) is not None:
        store.ingest(runs_dir)
    store.plan(trials)
    rest = [TrialFolder.of(runs_dir, trial_id) for trial_id in store.unfinished()]
    store.ingest_folders(folder for folder in rest if (folder.path / "result.json").exists())


class Recorder(Listener):
    """A listener that writes every result into the database, those that came together in one transaction."""

    def __init__(self, store: Store, runs_dir: Path, listener: Listener) -> None:
        """`listener` gets a message about what could not be written."""
        self.store = store
        self.runs_dir = runs_dir
        self.listener = listener
        self._waiting: dict[str, None] = {}
        self._not_before = 0.0

    def on_trial_started(self, trial: Trial) -> None:
        """It is to be noted as running."""
        self._waiting[trial.id] = None

    def on_result(self, result: Result) -> None:
        """What it left is to be put in."""
        self._waiting[result.trial_id] = None

    def on_pause(self) -> None:
        """Write what has come together."""
        if self._waiting and time.monotonic() >= self._not_before:
            self._write()

    def on_end(self, summary: RunSummary) -> None:
        """Write what is left, and say what could not be."""
        if self._waiting:
            self._write()
        if self._waiting:
            self.listener.on_message(
                f"{len(self._waiting)} trials are not in {self.store.path}; `harness ingest` puts them in"
            )

    def _write(self) -> None:
        try:
            self.store.ingest_folders(TrialFolder.of(self.runs_dir, trial_id) for trial_id in self._waiting)
            self._waiting.clear()
        except (InputError, OSError) as error:
            self._not_before = time.monotonic() + RETRY_SECONDS
            self.listener.on_message(
                f"{time.strftime('%H:%M:%S')} the database could not be written: {error}"
            )


class EstimateCheck(Listener):
    """A listener that compares what trials took with what was estimated."""

    def __init__(self, estimated: Mapping[str, float]) -> None:
        """`estimated`: trial id -> seconds."""
        self._estimated = estimated
        self._results: list[Result] = []

    def on_result(self, result: Result) -> None:
        """Keep it, to compare its seconds with the estimate."""
        self._results.append(result)

    @property
    def sentence(self) -> str | None:
        """How far off the estimate was, in a line; None where nothing ended well."""
        return hindsight(self._estimated, self._results)
