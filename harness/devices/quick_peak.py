"""A first idea of how fast a core of this machine multiplies matrices, for the estimate of a run where nothing was measured
yet.

`harness.devices.matmul` measures properly, in the precision of the trials, once a trial runs; here NumPy does, so that
no torch is loaded. All cores multiply at once, since cores that share a unit, or a limit of power, are slower together.
Time that other processes take does not count: each thread is timed by the processor time that it used, in many short
bursts of which the best counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

SIZE = 768
"""Rows and columns of the square matrices: 0.9 GFLOP a product, some milliseconds on a core."""
SECONDS = 0.6
"""By the clock, over which the bursts are spread."""
LEAST_BURSTS = 5
"""On each core, however long they take."""


@cache
def quick_peak(cores: int) -> float:
    """Operations a second of an fp32 matrix product on one core while so many multiply; measured once per process."""
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        rates = pool.map(lambda _: 2 * SIZE**3 / best_burst(_product()), range(cores))
        return median(rates)


def best_burst(
    burst: Callable[[], object],
    processor_time: Callable[[], float] = time.thread_time,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds of processor time of the shortest of the bursts that fit into `SECONDS`, after one that is not timed."""
    burst()
    ends = clock() + SECONDS
    times: list[float] = []
    while len(times) < LEAST_BURSTS or clock() < ends:
        began = processor_time()
        burst()
        times.append(processor_time() - began)
    return min(times)


def _product() -> Callable[[], object]:
    x = np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
    product = np.empty_like(x)
    return lambda: np.matmul(x, x, out=product)
