"""What a run reports while it goes on, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_TRIALS_FAILED
from harness.records.result import Progress, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.rehearsal import Machines


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    total: int
    done: int
    """Trials that ended well in this run."""
    skipped: int
    """Trials that had ended well before."""
    failed: int
    blocked: int
    """Trials not run because one that they depend on failed; they count as failed."""
    seconds: float
    interrupted: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    """Failed and blocked trials: id -> one line."""

    @property
    def left(self) -> int:
        """Trials that a further run would still have to do, apart from the failed and blocked."""
        return self.total - self.done - self.skipped - self.failed - self.blocked

    @property
    def exit_code(self) -> int:
        """The exit code of `harness run`."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_TRIALS_FAILED if self.failed or self.blocked else EXIT_OK


class Listener:
    """Called as things happen, in order, from the thread that called `run_plan`. Override what you need."""

    def on_machines(self, machines: Machines) -> None:
        """What the run may use: before `on_start` where that is known by then, and whenever it changes."""

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """The run begins: `skipped` of `total` trials are done already, `left` are to be done."""

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        """A worker began to run the trial (again, if an earlier worker was lost), together with those `beside` it."""

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """A running trial wrote a line of progress."""

    def on_result(self, result: Result) -> None:
        """A trial ended, well or not; its folder is complete."""

    def on_message(self, text: str) -> None:
        """One line that the user should read."""

    def on_pause(self) -> None:
        """Everything so far has been reported; the next call comes after a moment. The place for slow work."""

    def on_end(self, summary: RunSummary) -> None:
        """The run is over; the last call, whatever happened."""


class Listeners(Listener):
    """Several listeners called in turn (a live view and the database)."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def on_machines(self, machines: Machines) -> None:
        for listener in self._listeners:
            listener.on_machines(machines)

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        for listener in self._listeners:
            listener.on_start(total, skipped, left)

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        for listener in self._listeners:
            listener.on_trial_started(trial, beside)

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        for listener in self._listeners:
            listener.on_progress(trial_id, progress)

    def on_result(self, result: Result) -> None:
        for listener in self._listeners:
            listener.on_result(result)

    def on_message(self, text: str) -> None:
        for listener in self._listeners:
            listener.on_message(text)

    def on_pause(self) -> None:
        for listener in self._listeners:
            listener.on_pause()

    def on_end(self, summary: RunSummary) -> None:
        for listener in self._listeners:
            listener.on_end(summary)
