"""A listener that remembers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.result import Progress, Result
from harness.records.trial import Trial
from harness.schedule import Listener, RunSummary


class Recorder(Listener):
    """Keeps every call in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.started: list[str] = []
        self.progress: list[tuple[str, Progress]] = []
        self.results: list[Result] = []
        self.messages: list[str] = []
        self.pauses = 0

    def on_start(self, total: int, skipped: int, left: Sequence[Trial]) -> None:
        self.calls.append("start")

    def on_trial_started(self, trial: Trial, beside: Sequence[Trial] = ()) -> None:
        self.started.append(trial.id)

    def on_progress(self, trial_id: str, progress: Progress) -> None:
        self.progress.append((trial_id, progress))

    def on_result(self, result: Result) -> None:
        self.results.append(result)

    def on_message(self, text: str) -> None:
        self.messages.append(text)

    def on_pause(self) -> None:
        self.pauses += 1

    def on_end(self, summary: RunSummary) -> None:
        self.calls.append("end")
