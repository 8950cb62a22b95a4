"""Peak memory of one side of a comparison, in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from benchmarks.conditions import Conditions
from harness.trials.measure import PeakMemory

Side = Callable[[], object]
GIB = 2**30
STEPS = 3


@dataclass(frozen=True)
class Peak:
    """Memory in bytes."""

    whole: int
    """Growth of the process since it began to build the side."""
    extra: int
    """Growth beyond what is kept between two steps (weights, optimiser state)."""


def peak_of(make: Callable[[Conditions], Side], conditions: Conditions) -> Peak:
    """Peak of the side that `make`, a module-level function, builds: resident size of a fresh process; on a
    GPU the allocator's peak."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, make, conditions).result()


def _measure(make: Callable[[Conditions], Side], conditions: Conditions) -> Peak:
    torch.set_num_threads(conditions.threads)
    whole = PeakMemory(conditions.torch_device)
    side = make(conditions)
    side()  # makes the optimiser's state, which stands from then on
    building = _known(whole.since())
    extra = PeakMemory(conditions.torch_device)
    for _ in range(STEPS):
        side()
    conditions.synchronise()
    after = _known(extra.since())
    standing = _known(extra.before) - _known(whole.before)
    return Peak(max(building, standing + after), after)


def _known(peak: int | None) -> int:
    if peak is None:
        raise RuntimeError("this system does not tell a process's peak memory")
    return peak
