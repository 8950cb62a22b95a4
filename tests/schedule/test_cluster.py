"""What a run starts ends with it, even where it is killed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from unittest.mock import Mock

import psutil
import pytest

from harness.schedule.dispatch.slot_shapes import Node, SlotShape
from harness.schedule.ray.cluster import measuring_order
from harness.schedule.ray.slots import resources_of

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


HEAD = Node("a", cpus=2, address="10.0.0.1")
CARDS = Node("b", cpus=32, gpus=8, address="10.0.0.2")


@pytest.mark.parametrize(
    ("shape", "node"),
    [(SlotShape(2), HEAD), (SlotShape(2, 1.0), CARDS), (SlotShape(8), CARDS), (SlotShape(1, 0.5), CARDS)],
    ids=str,
)
def test_a_run_measures_on_the_first_machine_that_holds_what_it_asks_for(
    shape: SlotShape, node: Node
) -> None:
    """As on a cluster whose first machine, the driver's, has no GPU."""
    *_, held = resources_of(asdict(replace(shape, exclusive=True)), [HEAD, CARDS]).bundles
    assert held == {
        name: value
        for name, value in {"CPU": node.cpus, "GPU": node.gpus, f"node:{node.address}": 0.001}.items()
        if value
    }


def test_the_machine_of_the_driver_is_the_first_to_measure_on() -> None:
    ray = Mock()
    ray.get_runtime_context().get_node_id.return_value = "b"
    later = Node("c", cpus=4)
    assert measuring_order(ray, [later, HEAD, CARDS]) == [CARDS, HEAD, later]
