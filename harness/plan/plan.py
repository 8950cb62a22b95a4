"""What a spec asks for: trials, and the inputs that they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from harness.assets.asset import Asset
from harness.plan.input_contents import Unresolved
from harness.records.trial import FinetuneJob, Kind, Trial
from harness.spec.entries import Task


@dataclass(frozen=True)
class Plan:
    """The trials that a spec asks for, and their inputs."""

    spec: str
    """The spec's name."""
    trials: tuple[Trial, ...]
    """In dependency order: parents come first."""
    assets: Mapping[str, Asset]
    """Purpose -> input, for every input of every trial."""
    unresolved: tuple[Unresolved, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Trial]:
        """Trial id -> trial."""
        return {trial.id: trial for trial in self.trials}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Each task that a trial is scored on."""
        tasks = [trial.job.task for trial in self.trials if isinstance(trial.job, FinetuneJob)]
        return tuple({id(task): task for task in tasks}.values())

    def of_kind(self, kind: Kind) -> tuple[Trial, ...]:
        """Trials of one kind, in order."""
        return tuple(trial for trial in self.trials if trial.kind == kind)
