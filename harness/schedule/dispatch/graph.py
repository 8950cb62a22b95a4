"""Which trials wait for which. Every call costs the number of children (or descendants) concerned."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.records.trial import Trial


class Graph:
    """The trials of a plan that are still open, and what each of them waits for."""

    def __init__(self, trials: Sequence[Trial], done: Collection[str], failed: Collection[str]) -> None:
        """`done`: ids that ended well before, of this plan or not; `failed`: ids that are not run again."""
        self.trials = {trial.id: trial for trial in trials}
        self.open = {trial.id for trial in trials if trial.id not in done and trial.id not in failed}
        self._unmet: dict[str, int] = {}
        self._children: dict[str, list[str]] = {}
        for trial in trials:
            unmet = [parent for parent in trial.waits_for if parent not in done]
            self._unmet[trial.id] = len(unmet)
            for parent in unmet:
                self._children.setdefault(parent, []).append(trial.id)

    @property
    def ready(self) -> list[str]:
        """Open trials that wait for nothing, in the plan's order."""
        return [trial_id for trial_id in self.trials if trial_id in self.open and not self._unmet[trial_id]]

    @property
    def missing_parents(self) -> list[str]:
        """Parents that have no result and are not part of the plan."""
        return [parent for parent in self._children if parent not in self.trials]

    def succeed(self, trial_id: str) -> list[str]:
        """Record that the trial ended well; returns the children that became ready."""
        self.open.discard(trial_id)
        ready = []
        for child in self._children.pop(trial_id, ()):
            self._unmet[child] -= 1
            if not self._unmet[child] and child in self.open:
                ready.append(child)
        return ready

    def fail(self, trial_id: str) -> list[str]:
        """Record that the trial failed or will never run; returns the descendants that are closed with it."""
        self.open.discard(trial_id)
        blocked = []
        below = self._children.pop(trial_id, [])
        while below:
            child = below.pop()
            if child in self.open:
                self.open.discard(child)
                blocked.append(child)
                below += self._children.get(child, ())
        return blocked
