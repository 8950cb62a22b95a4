"""What the trial folders record of a plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.records.folder import TrialFolder
from harness.records.trial import Trial


@dataclass(frozen=True)
class PlanRecord:
    """Which trials have a result."""

    done: frozenset[str]
    """Ids that ended well and need not run, with parents outside the plan among them."""
    failed: Mapping[str, str]
    """Id of a failed trial -> reason."""

    @classmethod
    def of(cls, trials: Sequence[Trial], runs_dir: Path) -> PlanRecord:
        """Read the results of these trials and of their parents."""
        asked = {trial.id: trial for trial in trials}
        wanted = asked.keys() | {parent for trial in trials for parent in trial.parents}
        try:
            present = wanted & {entry.name for entry in os.scandir(runs_dir)}
        except OSError:
            present = set()
        done: set[str] = set()
        failed: dict[str, str] = {}
        for trial_id in present:
            folder = TrialFolder.of(runs_dir, trial_id)
            result = folder.read_result()
            if result is not None and result.status == "failed":
                failed[trial_id] = result.error.reason if result.error else "error"
            elif result is not None and (trial_id not in asked or folder.covers(asked[trial_id], result)):
                done.add(trial_id)
        return cls(frozenset(done), failed)

    def left(self, trials: Sequence[Trial], retry_failed: bool) -> bool:
        """Whether any trial is to be run (or reported as blocked)."""
        return any(t.id not in self.done and (retry_failed or t.id not in self.failed) for t in trials)
