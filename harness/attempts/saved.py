"""What a checkpoint says besides its tensors. It may come from anybody: one that says anything else is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError
from torch import Tensor

from harness.attempts.checkpoints import Checkpoint
from harness.attempts.figures import HeldOut, TermShares
from harness.base import Frozen
from harness.devices.placement import Resolved

Count = Annotated[int, Field(ge=0)]


class Accounts(Frozen):
    """The attempts at a trial so far."""

    started_at: Annotated[float, Field(allow_inf_nan=False)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    training_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    resumed: Count
    fallbacks: tuple[str, ...]


class TrainingFacts(Frozen):
    """What of a `TrainingState` is not a tensor; fields as there."""

    precision: Resolved
    tokens: Count
    flops: Count
    micro_rows: Annotated[int, Field(ge=1)] | None
    workers: tuple[Annotated[int, Field(ge=1)], ...]
    devices: tuple[str, ...] = ()
    """None in checkpoints from before it was recorded."""
    before: HeldOut | None
    term_shares: tuple[TermShares, ...]
    dev_by_epoch: tuple[float | None, ...]


class SavedFacts(Frozen):
    """The facts of one checkpoint."""

    trial: str
    """The trial it belongs to."""
    accounts: Accounts
    training: TrainingFacts


@dataclass(frozen=True)
class Saved:
    """A checkpoint of this trial, read and checked."""

    checkpoint: Checkpoint
    facts: SavedFacts

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.checkpoint.step

    @property
    def precision(self) -> Resolved:
        """What the trial computes in."""
        return self.facts.training.precision

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Tensors named `prefix/...`, without the prefix."""
        return self.checkpoint.below(prefix)


def read_facts(facts: Mapping[str, Any], trial: str) -> SavedFacts | None:
    """The facts of a checkpoint of `trial`; None where they are another's or no such facts."""
    try:
        saved = SavedFacts.model_validate(facts)
    except ValidationError:
        return None
    return saved if saved.trial == trial else None
