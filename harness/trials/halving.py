"""Synchronous successive halving: which settings of one model on one task go on to the next rung.

A pure function of the dev scores of the whole rung below, which the plan makes every trial wait for; so the survivors
depend neither on timing nor on how many workers there are. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TrialError
from harness.records.folder import TrialFolder
from harness.records.trial import Rung, TrialId


@dataclass(frozen=True)
class Standing:
    """How a setting did on the rung below."""

    rank: int | None
    """1 for the best; None where it was given up before."""
    settings: int
    """Settings that were trained on that rung."""
    keep: int
    """How many go on."""

    @property
    def goes_on(self) -> bool:
        """Whether it is among the best."""
        return self.rank is not None and self.rank <= self.keep

    @property
    def facts(self) -> dict[str, Any]:
        """For the trial's result."""
        return {"halving": {"rank": self.rank, "of": self.settings, "kept": self.keep}}


def ranked(dev_values: Sequence[Sequence[float | None] | None]) -> list[int]:
    """Settings, best first: by the mean dev score over seeds; an undefined score loses to any number, and equals keep
    their order. None is a setting that was given up; it is not ranked."""
    means = {setting: _mean(values) for setting, values in enumerate(dev_values) if values is not None}
    return sorted(means, key=lambda setting: -means[setting])


def standing_of(rung: Rung | None, runs_dir: Path) -> Standing | None:
    """Of a trial's setting, from the results below `runs_dir`; None on the lowest rung and without halving.

    TrialError(lost_input) where a result of the rung below is gone.
    """
    if rung is None or not rung.below:
        return None
    order = ranked([_dev_values(trials, runs_dir) for trials in rung.below])
    rank = order.index(rung.own) + 1 if rung.own in order else None
    return Standing(rank, len(order), rung.keep)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else float("-inf")


def _dev_values(trials: Sequence[TrialId], runs_dir: Path) -> list[float | None] | None:
    """The dev scores of one setting's seeds; None where one of them was given up."""
    values = []
    for trial in trials:
        result = TrialFolder.of(runs_dir, trial).read_result()
        if result is None or result.status == "failed":
            raise TrialError("lost_input", f"the result of {trial}, a shorter training, is not in {runs_dir}")
        if result.status == "pruned":
            return None
        values.append(result.dev_value)
    return values
