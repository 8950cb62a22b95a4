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


BUSY = """
from ray._private.node import Node

late = Node.start_ray_processes
tries = []

def start(node):
    late(node)
    tries.append(node)
    if len(tries) == 1:
        raise Exception("The current node timed out during startup.")

Node.start_ray_processes = start

import psutil
from harness.schedule.ray.cluster import connected

with connected(None, cpus=1) as ray:
    print(len(tries), ray.cluster_resources()["CPU"])
    servers = [process.name() for process in psutil.Process().children()]
    print(servers.count("raylet"), servers.count("gcs_server"))
print(len(psutil.Process().children()))
"""
"""Ray's first start takes longer than it waits."""


def test_ray_is_started_again_where_it_took_too_long_and_one_is_left() -> None:
    said = subprocess.run(
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True, timeout=280, check=True
    )
    assert said.stdout.split() == ["2", "1.0", "1", "1", "0"]
