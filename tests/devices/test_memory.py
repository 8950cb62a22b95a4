"""Memory that a trial frees and takes again."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import platform, resource, sys
import torch
from harness.devices.memory import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if platform.libc_ver()[0] != "glibc":
    sys.exit("no glibc")
torch.set_num_threads(1)
torch.ones(1)
ordinary = faults()
with freed_memory_kept():
    faults()
    kept = faults()
print(ordinary, kept)
"""
"""64 MiB taken and freed twenty times. A process of its own, since the policy stays with it."""


def test_memory_that_is_freed_and_taken_again_costs_few_page_faults() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=False)
    if "no glibc" in done.stderr:
        pytest.skip("the C library is not glibc")
    assert done.returncode == 0, done.stderr
    ordinary, kept = map(int, done.stdout.split())
    assert kept < ordinary / 5
