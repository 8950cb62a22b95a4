"""What a run starts ends with it, even where it is killed."""

from __future__ import annotations

import subprocess
import sys

import psutil

GUARDED = """
import subprocess, sys, time
import psutil
from harness.schedule.ray.cluster import guarded

kept = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with guarded([psutil.Process(kept.pid)]):
    print(kept.pid, flush=True)
    sys.stdin.readline()
print("alive" if kept.poll() is None else "gone", flush=True)
kept.kill()
"""


def started() -> tuple[subprocess.Popen[str], psutil.Process]:
    """A process inside the block, and the one that is guarded."""
    driver = subprocess.Popen(
        [sys.executable, "-c", GUARDED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    return driver, psutil.Process(int(driver.stdout.readline()))


def test_processes_that_are_guarded_end_with_one_that_is_killed() -> None:
    driver, kept = started()
    family = psutil.Process(driver.pid).children()
    with driver:
        driver.kill()
    assert kept in family
    assert not psutil.wait_procs(family, timeout=60)[1]


def test_the_guard_leaves_with_the_block_and_harms_nobody() -> None:
    driver, _ = started()
    family = psutil.Process(driver.pid).children()
    said, _ = driver.communicate("\n")
    assert said == "alive\n"
    assert not psutil.wait_procs(family, timeout=60)[1]
