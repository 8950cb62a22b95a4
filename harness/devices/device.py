"""What differs between the processor and accelerators (CUDA's, Apple's, Intel's): the one place that asks torch's module of
a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor


def is_accelerator(device: torch.device) -> bool:
    """Whether it has memory and a queue of work of its own."""
    return device.type != "cpu"


def wait(device: torch.device) -> None:
    """Until all work given to `device` is done."""
    if is_accelerator(device):
        _module(device).synchronize()


def free_cached(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the device."""
    if is_accelerator(device):
        _module(device).empty_cache()


@contextmanager
def part_of_memory(device: torch.device, share: float) -> Iterator[None]:
    """While a trial that asked for this share of an accelerator runs: no more of its memory is taken where others share
    it, and nothing is kept afterwards."""
    if is_accelerator(device) and 0 < share < 1:
        _module(device).set_per_process_memory_fraction(share)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # the error that ended the trial says more
            free_cached(device)


def generator_state(device: torch.device) -> Tensor:
    """Of torch's default generator there; uint8."""
    state: Tensor = _module(device).get_rng_state() if is_accelerator(device) else torch.get_rng_state()
    return state


def set_generator_state(device: torch.device, state: Tensor) -> None:
    """Let torch draw there from this state."""
    if is_accelerator(device):
        _module(device).set_rng_state(state)
    else:
        torch.set_rng_state(state)


def _module(device: torch.device) -> Any:
    """`torch.cuda` and its like."""
    return torch.get_device_module(device)
