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
    """Ids that ended well, with parents outside the plan among them."""
    failed: Mapping[str, str]
    """Id of a failed trial -> reason."""

    @classmethod
    def of(cls, trials: Sequence[Trial], runs_dir: Path) -> PlanRecord:
        """Read the results of these trials and of their parents."""
        wanted = {trial.id for trial in trials} | {parent for trial in trials for parent in trial.parents}
        try:
            present = wanted & {entry.name for entry in os.scandir(runs_dir)}
        except OSError:
            present = set()
        read = [TrialFolder.of(runs_dir, trial_id).read_result() for trial_id in present]
        results = [result for result in read if result is not None]
        return cls(
            frozenset(result.trial_id for result in results if result.status != "failed"),
            {r.trial_id: r.error.reason if r.error else "error" for r in results if r.status == "failed"},
        )

    def left(self, trials: Sequence[Trial], retry_failed: bool) -> bool:
        """Whether any trial is to be run (or reported as blocked)."""
        return any(t.id not in self.done and (retry_failed or t.id not in self.failed) for t in trials)
