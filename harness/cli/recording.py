"""Writes results to the database during a run. The folders remain authoritative: what cannot be written now,
`harness ingest` adds later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.counted import counted
from harness.errors import InputError
from harness.plan.cost import Estimate, hindsight, sharing
from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.records.trial import Trial
from harness.results.store import Store
from harness.schedule.listener import Listener, RunSummary

RETRY_SECONDS = 30.0
"""Seconds to wait after a failed write before the next attempt."""


def open_store(store: Store, trials: Iterable[Trial], runs_dir: Path) -> None:
    """Record the plan in the database, with results that an earlier driver did not record; a database that is missing
    although trials are recorded is first rebuilt from their folders.

    InputError if the file is damaged, not a harness database or from a newer harness; nothing is changed then.
    """
    if not store.exists and next(trial_folders(runs_dir), None) is not None:
        store.ingest(runs_dir)
    store.plan(trials)
    rest = [TrialFolder.of(runs_dir, trial_id) for trial_id in store.unfinished()]
    store.ingest_folders(folder for folder in rest if (folder.path / "result.json").exists())


class Recorder(Listener):
    """A listener that writes every result to the database, those that arrive together in one transaction."""

    def __init__(self, store: Store, runs_dir: Path, listener: Listener) -> None:
        """`listener` is notified of results that could not be written."""
        self.store = store
        self.runs_dir = runs_dir
        self.listener = listener
        self._waiting: dict[str, None] = {}
        self._not_before = 0.0

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        """Queue the trial to be recorded as running."""
        self._waiting[trial.id] = None

    def on_result(self, result: Result) -> None:
        """Queue the result to be recorded."""
        self._waiting[result.trial_id] = None

    def on_pause(self) -> None:
        """Write what is queued."""
        if self._waiting and time.monotonic() >= self._not_before:
            self._write()

    def on_end(self, summary: RunSummary) -> None:
        """Write what is queued, and report what could not be written."""
        if self._waiting:
            self._write()
        if self._waiting:
            left = counted(len(self._waiting), "trial is", "trials are")
            self.listener.on_message(
                f"{left} not in {self.store.path}; `harness ingest` adds what is missing"
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
    """A listener that compares what trials took with the estimate."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._left: dict[str, Trial] = {}
        self._expected: dict[str, float] = {}
        self._results: list[Result] = []

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Know the trials as they are run."""
        self._left = {trial.id: trial for trial in left}

    def on_result(self, result: Result) -> None:
        """Keep the result, and what was expected of it among as many students as it had beside it."""
        trial = self._left.get(result.trial_id)
        if trial is not None:
            self._expected[trial.id] = self._estimate.parts(trial, sharing(result)).total
            self._results.append(result)

    @property
    def sentence(self) -> str | None:
        """One line on the error of the estimate; None if no trial ended well."""
        return hindsight(self._expected, self._results)
