"""Which trials wait for which. Pure; every call costs the number of children (or descendants) concerned."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.records.trial import Trial


class Graph:
    """The trials of a plan that are not settled, and what each still waits for."""

    def __init__(self, trials: Sequence[Trial], done: Collection[str], failed: Collection[str]) -> None:
        """`done`: ended well before, perhaps not of the plan; `failed`: failed before and not to be
        retried."""
        self.trials = {trial.id: trial for trial in trials}
        self.open = {trial.id for trial in trials if trial.id not in done and trial.id not in failed}
        self._unmet: dict[str, int] = {}
        self._children: dict[str, list[str]] = {}
        for trial in trials:
            unmet = [parent for parent in trial.parents if parent not in done]
            self._unmet[trial.id] = len(unmet)
            for parent in unmet:
                self._children.setdefault(parent, []).append(trial.id)

    @property
    def ready(self) -> list[str]:
        """Open trials that wait for nothing, in the plan's order."""
        return [trial_id for trial_id in self.trials if trial_id in self.open and not self._unmet[trial_id]]

    @property
    def strangers(self) -> list[str]:
        """Parents without a result that are not of the plan."""
        return [parent for parent in self._children if parent not in self.trials]

    def succeed(self, trial_id: str) -> list[str]:
        """The trial ended well; the children that become ready by it."""
        self.open.discard(trial_id)
        ready = []
        for child in self._children.pop(trial_id, ()):
            self._unmet[child] -= 1
            if not self._unmet[child] and child in self.open:
                ready.append(child)
        return ready

    def fail(self, trial_id: str) -> list[str]:
        """The trial failed (or never will be); the descendants that cannot run now and are open no longer."""
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
