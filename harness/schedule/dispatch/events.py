"""What happens during a run, as the dispatcher tells it, and who listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_TRIALS_FAILED
from harness.records.result import Failure, Progress, Result
from harness.records.trial import Trial


@dataclass(frozen=True)
class Started:
    """One worker has taken up these trials."""

    trial_ids: tuple[str, ...]
    slot: str
    node: str


@dataclass(frozen=True)
class Ended:
    """A trial ended and its folder says so."""

    result: Result


@dataclass(frozen=True)
class GivenUp:
    """A trial lost its worker too often; nobody has written its result yet."""

    trial_id: str
    failure: Failure
    started_at: float


@dataclass(frozen=True)
class HandedBack:
    """Trials went back into the queue unfinished."""

    trial_ids: tuple[str, ...]
    reason: str
    """Empty where the run is stopping."""


@dataclass(frozen=True)
class Blocked:
    """A trial will not run, because one above it failed."""

    trial_id: str
    because: str
    """The trial that failed."""
    reason: str


Event = Started | Ended | GivenUp | HandedBack | Blocked


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
    """Trials not run because one above them failed; they count as failed."""
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
        """130 interrupted, 1 some trials failed, 0 all done."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        return EXIT_TRIALS_FAILED if self.failed or self.blocked else EXIT_OK


class Listener(Protocol):
    """Told what happens, in order, from the thread that called `run_plan`."""

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """The run begins: `skipped` of `total` trials are done already, `left` are to be done."""

    def on_trial_started(self, trial: Trial) -> None:
        """A worker took up the trial (again, after its worker was lost)."""

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """A running trial wrote a line of progress."""

    def on_result(self, result: Result) -> None:
        """A trial ended, well or not; its folder is complete."""

    def on_message(self, text: str) -> None:
        """One line that the user should read."""

    def on_pause(self) -> None:
        """All that has happened so far has been told; the next call comes after a moment."""

    def on_end(self, summary: RunSummary) -> None:
        """The run is over; the last call, whatever happened."""


class Silent:
    """A listener that does nothing; a base for those that want some calls only."""

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Nothing."""

    def on_trial_started(self, trial: Trial) -> None:
        """Nothing."""

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """Nothing."""

    def on_result(self, result: Result) -> None:
        """Nothing."""

    def on_message(self, text: str) -> None:
        """Nothing."""

    def on_pause(self) -> None:
        """Nothing."""

    def on_end(self, summary: RunSummary) -> None:
        """Nothing."""


class Together:
    """Several listeners told in turn (a live view and the database)."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_start(total, skipped, left)

    def on_trial_started(self, trial: Trial) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_trial_started(trial)

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_progress(trial_id, progress)

    def on_result(self, result: Result) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_result(result)

    def on_message(self, text: str) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_message(text)

    def on_pause(self) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_pause()

    def on_end(self, summary: RunSummary) -> None:
        """Pass on."""
        for listener in self.listeners:
            listener.on_end(summary)
