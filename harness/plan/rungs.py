"""Successive halving in the plan: the rungs of a group of settings, determined by its size alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.spec.recipes import Halving


@dataclass(frozen=True)
class Step:
    """One rung."""

    share: float
    """Share of the training rows."""
    keep: int
    """Number of settings that reach the rung."""

    @property
    def label(self) -> str:
        """Label for display; empty where a trial trains on all rows."""
        return "" if self.share == 1 else f"{self.share:.3g} of the rows"


def ladder(halving: Halving | None, settings: int) -> tuple[Step, ...]:
    """The rungs of a group of `settings`, lowest first; empty where there is nothing to choose."""
    if halving is None or settings < 2:
        return ()
    steps = [Step(float(halving.factor) ** -halving.rungs, settings)]
    for rung in reversed(range(halving.rungs)):
        keep = math.ceil(steps[-1].keep / halving.factor)
        steps.append(Step(float(halving.factor) ** -rung, keep))
    return tuple(steps)
