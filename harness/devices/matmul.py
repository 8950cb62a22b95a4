"""The matrix multiplication rate of this machine: the denominator of a trial's utilisation."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch

from harness.devices.provenance import fingerprint
from harness.records.machine import MachineProfile

SIZE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the square matrices: large enough to reach the processor's best rate."""
REPEATS = 3
"""Timed products after one for warm-up; the fastest counts, since disturbances only slow a product down."""


def matmul_peak(cache_dir: Path, device: str, precision: str, threads: int) -> float:
    """Operations per second of a large matrix product: the fastest that any process measured on this machine, stored in
    its profile below `cache_dir`.

    Each process measures once, in about a second, since other load on the machine makes a measurement too low. `device`
    is `cpu` or `cuda`, `precision` fp32 or bf16. On a shared GPU the rate is that of the whole card.
    """
    here = fingerprint(threads)
    rate = measure_matmul(device, precision, threads)
    profile = MachineProfile.read(cache_dir, here)
    known = profile.peak(device, precision)
    if known is not None and known >= rate:
        return known
    profile.with_peak(device, precision, rate).write(cache_dir)
    return rate


@cache
def measure_matmul(device: str, precision: str, threads: int) -> float:
    """Operations per second, 2·n³ for a product of n × n matrices; measured once per process.

    fp32 on a GPU is torch's default there, without TF32.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return 2 * SIZE[device] ** 3 / _seconds(device, precision)
    finally:
        torch.set_num_threads(before)


def _seconds(device: str, precision: str) -> float:
    """Seconds per product, the fastest of a few. Random values: a GPU multiplies constants faster."""
    draws = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(SIZE[device], SIZE[device], generator=draws, device=device).to(dtype)
    product = torch.empty_like(x)
    seconds = []
    for _ in range(1 + REPEATS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(x, x, out=product)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
