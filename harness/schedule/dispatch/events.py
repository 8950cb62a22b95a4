"""What the dispatcher reports to the driver."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.result import Failure, Result


@dataclass(frozen=True)
class Started:
    """A worker has begun to run these trials."""

    trial_ids: tuple[str, ...]
    slot: str
    node: str


@dataclass(frozen=True)
class Ended:
    """A trial ended, and its folder holds the result."""

    result: Result


@dataclass(frozen=True)
class GivenUp:
    """A trial lost its worker too often; its result is still to be written."""

    trial_id: str
    failure: Failure
    started_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class HandedBack:
    """Trials returned to the queue unfinished."""

    trial_ids: tuple[str, ...]
    reason: str
    """Empty when the run is stopping."""


@dataclass(frozen=True)
class Blocked:
    """A trial will not run, because one that it depends on failed."""

    trial_id: str
    because: str
    """Id of the trial that failed."""
    reason: str


Event = Started | Ended | GivenUp | HandedBack | Blocked
