"""The matrix multiplication rate of this machine: the denominator of a trial's utilisation."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import torch

from harness.devices.provenance import fingerprint
from harness.records.machine import MachineProfile

SIZES = {"cpu": (256, 512, 1024, 2048), "cuda": (8192,)}
"""Rows and columns of the square matrices. The largest is large enough to reach the processor's best rate; a processor that
must imitate a precision (bf16 without instructions for it) would take minutes over it, and is given a smaller one."""
MOST_SECONDS = 2.0
"""A size is tried while the product of half that size promises one in so many seconds."""
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
        first, *larger = SIZES[device]
        rate = _rate(device, precision, first)
        for size in larger:
            if 2 * size**3 / rate > MOST_SECONDS:
                break
            rate = _rate(device, precision, size)
        return rate
    finally:
        torch.set_num_threads(before)


def _rate(device: str, precision: str, size: int) -> float:
    """Operations per second, the fastest of a few products. Random values: a GPU multiplies constants faster."""
    draws = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(size, size, generator=draws, device=device).to(dtype)
    product = torch.empty_like(x)
    seconds = []
    for _ in range(1 + REPEATS):
        _wait(device)
        began = time.perf_counter()
        torch.mm(x, x, out=product)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds[1:])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
