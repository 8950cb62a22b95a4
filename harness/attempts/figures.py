"""What is measured while a model trains and goes into its result: held-out figures and the share of each term."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.records.result import Measurement


@dataclass(frozen=True)
class HeldOut:
    """Averages over all held-out blocks."""

    loss: float | None
    """Weighted sum of the terms; None without an objective."""
    terms: dict[str, float]
    """Loss by term, unweighted."""
    masked_accuracy: float | None = None
    """Share of corrupted positions where the head ranks the true token first, 0..1; None without a head."""
    perplexity: float | None = None
    """exp of the mean cross-entropy at those positions, 1 or more."""
    positions: int = 0
    """Number of corrupted positions."""
    teacher_masked_accuracy: float | None = None
    """The teacher's share on the same positions; None where the objective does not read its head."""

    def as_json(self) -> dict[str, Any]:
        """For result.json and checkpoints."""
        return asdict(self)

    def measurements(self, suffix: str = "") -> tuple[Measurement, ...]:
        """Masked accuracy and perplexity as records, named `masked_accuracy<suffix>` and so on."""
        if self.masked_accuracy is None or self.perplexity is None:
            return ()
        protocol = f"{self.positions} corrupted positions of held-out text, single run"
        accuracies = {
            "masked_accuracy": self.masked_accuracy,
            "teacher_masked_accuracy": self.teacher_masked_accuracy,
        }
        return (
            *(
                Measurement(metric=f"{name}{suffix}", value=value, unit="fraction", protocol=protocol)
                for name, value in accuracies.items()
                if value is not None
            ),
            Measurement(metric=f"perplexity{suffix}", value=self.perplexity, unit="1", protocol=protocol),
        )


@dataclass(frozen=True)
class TermShares:
    """Shares of the terms at one step; each adds up to 1."""

    step: int
    """Steps taken before."""
    loss: dict[str, float]
    """Term -> weight · loss, over the sum of all terms'."""
    gradient: dict[str, float]
    """Term -> norm of the gradient of weight · loss in the student's parameters, over the sum of all terms' norms."""

    def as_json(self) -> dict[str, Any]:
        """For result.json and checkpoints."""
        return asdict(self)
