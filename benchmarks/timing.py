"""The sides of a comparison, timed alternately."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.conditions import Conditions
from benchmarks.rows import Row


@dataclass(frozen=True)
class Timing:
    """Timing of one side."""

    seconds: Sequence[float]
    """Seconds of each round, in order."""

    @property
    def median(self) -> float:
        """Median in seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range over the median."""
        if len(self.seconds) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return (high - low) / self.median


def alternate(
    sides: Mapping[str, Callable[[], object]], conditions: Conditions, warmup: int = 1
) -> dict[str, Timing]:
    """Run each side once per round, in order (A B A B ...), after `warmup` rounds that do not count, so that a
    disturbance of the machine affects all sides."""
    rounds = 2 if conditions.quick else conditions.rounds
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warmup + rounds):
        for name, side in sides.items():
            conditions.synchronise()
            began = time.perf_counter()
            side()
            conditions.synchronise()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - began)
    return {name: Timing(values) for name, values in seconds.items()}


def faster(
    what: str, ours: str, theirs: str, timings: Mapping[str, Timing], target: float | None, note: str = ""
) -> Row:
    """Speed-up of `ours` over side `theirs`, by medians."""
    both = {name: timings[name] for name in dict.fromkeys((ours, theirs))}
    return Row(
        what,
        timings[theirs].median / timings[ours].median,
        target=target,
        sides={name: 1000 * timing.median for name, timing in both.items()},
        spread={name: timing.spread for name, timing in both.items()},
        note=note,
    )
