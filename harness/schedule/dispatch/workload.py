"""What there is to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.records.trial import Trial


@dataclass(frozen=True)
class Workload:
    """The trials of a plan, and what is known of them before the run begins."""

    trials: Sequence[Trial]
    """The whole plan, parents before children."""
    recorded: frozenset[str] = frozenset()
    """Ids that ended well before; parents outside the plan may be among them."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Id -> reason of trials that failed before and are not to be run again."""
    cohorts: Sequence[Sequence[Trial]] = ()
    """Groups of distil trials that may share a worker and its teacher."""
    shared: bool = False
    """Whether other people's work may run on the same machines (see `SlotShape.of`)."""
