"""A first idea of how fast this machine multiplies matrices, for the estimate of a run where nothing was measured yet.

`harness.devices.matmul` measures properly, in the precision of the trials, once a trial runs; here NumPy does, so that
no torch is loaded.
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

SIZE = 1024
"""Rows and columns of the square matrices: 2 GFLOP a product, some hundredths of a second on a core."""
REPEATS = 3
"""Products timed after one that is not; the fastest counts."""


def quick_peak(threads: int) -> float:
    """Operations a second of an fp32 matrix product on `threads` processor cores."""
    x = np.random.default_rng(0).standard_normal((SIZE, SIZE), dtype=np.float32)
    seconds = []
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            x @ x
            seconds.append(time.perf_counter() - began)
    return float(2 * SIZE**3 / min(seconds[1:]))
