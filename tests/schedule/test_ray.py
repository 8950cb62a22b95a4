"""The Ray backend on real Ray: warm slots, the dead replaced, cards never overbooked, Ctrl-C saves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.records.folder import TrialFolder

pytestmark = pytest.mark.timeout(600)
"""Each starts a dozen processes, of which every one imports for seconds; on two busy cores that adds up to minutes."""

DRIVER = """
import sys
from pathlib import Path
from harness.assets.sources import Sources
from harness.schedule import RunOptions, run_plan
from harness.schedule.live_view import view
from harness.spec.recipes import Resources
from tests.schedule import trials

runs, plan = Path(sys.argv[1]), eval(sys.argv[2])
run_job, options = getattr(trials, sys.argv[3]), eval(sys.argv[4])
settings = RunOptions(run_job=run_job, **options)
try:
    summary = run_plan(plan, runs, Sources(runs / "cache"), settings, view(sys.stdout))
except KeyboardInterrupt:
    sys.exit(130)
print("reasons", summary.reasons)
sys.exit(summary.exit_code)
"""


def drive(runs_dir: Path, plan: str, work: str, options: str = "{}") -> subprocess.Popen[str]:
    """A driver of its own: Ray is started once in a process, and signals are its process's."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(runs_dir), plan, work, options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def output(driver: subprocess.Popen[str], seconds: float = 280) -> str:
    """All it said, once it has ended."""
    try:
        return driver.communicate(timeout=seconds)[0]
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)


def test_workers_that_die_are_replaced_and_stay_warm_otherwise(tmp_path: Path) -> None:
    driver = drive(tmp_path, "trials.small_plan()", "die_once")
    said = output(driver)
    assert driver.returncode == 0, said
    from tests.schedule.trials import notes, small_plan

    plan = small_plan()
    seen = notes(tmp_path)
    assert sorted(trial_id for note in seen for trial_id in note["ids"]) == sorted(trial.id for trial in plan)
    assert "its worker process died" in said
    assert "its worker was ended, since the card broke; tried again" in said
    after = [note for note in seen if note["kind"] in ("finetune", "measure")]
    assert (tmp_path / "lost").read_text() not in {str(note["pid"]) for note in after}
    assert len({note["pid"] for note in seen}) < len(seen) / 2
    assert all(TrialFolder.of(tmp_path, trial.id).read_result().status == "ok" for trial in plan)
    assert not list(tmp_path.rglob(".*")), "nothing is left of the run's own files"
    assert "Traceback" not in said


def test_a_job_given_to_a_worker_that_is_dead_already_is_started_once(tmp_path: Path) -> None:
    driver = drive(tmp_path, "trials.waiting_plan()", "teach_on_go", "{'cpus': 2}")
    wait_for(driver, tmp_path, "*.on.*")
    wait_for(driver, tmp_path, "log.jsonl")
    from tests.schedule.trials import notes, waiting_plan

    (idle,) = notes(tmp_path)
    time.sleep(1)  # it has ended its job, but may not have said so
    os.kill(idle["pid"], signal.SIGKILL)
    wait_until_gone(idle["pid"])
    (tmp_path / "go").touch()
    said = output(driver)
    assert driver.returncode == 0, said
    assert "before it could begin" in said
    assert sorted(re.findall(r" start  (\w{16}) ", said)) == sorted(trial.id for trial in waiting_plan())


IMPATIENT = """
import sys
import psutil
from ray._private.node import Node
from harness.schedule.ray.cluster import connected

kill = Node.kill_all_processes
Node.kill_all_processes = lambda node, **options: kill(node, **{**options, "allow_graceful": False})
with connected(None, cpus=1) as ray:
    ray.get(ray.remote(lambda: 1).remote())
    print(*(process.pid for process in psutil.Process().children(recursive=True)))
"""
"""Ray kills its raylet at once, as it does where that takes more than a second to end."""


def test_agents_and_workers_end_with_a_raylet_that_was_killed() -> None:
    said = subprocess.run(
        [sys.executable, "-c", IMPATIENT], stdout=subprocess.PIPE, text=True, timeout=280, check=True
    ).stdout
    pids = [int(pid) for pid in said.split()]
    assert len(pids) > 4
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_ctrl_c_saves_and_a_further_run_goes_on(tmp_path: Path) -> None:
    plan = "[trials.finetune('f'), trials.finetune('g')]"
    driver = drive(tmp_path, plan, "step_until_stopped", "{'cpus': 1}")
    wait_for(driver, tmp_path, "*.steps")
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    said = output(driver)
    assert driver.returncode == 130, said
    assert "the next run continues from there" in said
    assert "interrupted after" in said
    assert "Traceback" not in said
    (mark,) = tmp_path.glob("*.steps")
    steps = int(mark.read_text())
    assert 0 < steps < 60
    assert not (tmp_path / "driver.json").exists()
    again = drive(tmp_path, plan, "step_until_stopped", "{'backend': 'local'}")
    said = output(again)
    assert again.returncode == 0, said
    assert "2 done" in said


def test_a_second_ctrl_c_ends_at_once_whatever_workers_do(tmp_path: Path) -> None:
    driver = drive(tmp_path, "[trials.finetune('f')]", "wait_for_go", "{'cpus': 1}")
    wait_for(driver, tmp_path, "*.on.*")
    family = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGINT)
    time.sleep(1)
    assert driver.poll() is None
    os.kill(driver.pid, signal.SIGINT)
    said = output(driver)
    assert driver.returncode == 130, said
    assert not (tmp_path / "driver.json").exists()
    assert not psutil.wait_procs(family, timeout=30)[1], "no process is left behind"


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, one with two pretended cards."""
    for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}.items():
        os.environ[name] = value
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    nodes.cards = nodes.add_node(num_cpus=4, num_gpus=2, env_vars={"CLUSTER": "cards"})
    yield nodes
    nodes.shutdown()
    del os.environ["RAY_AUTH_MODE"]


def test_on_a_cluster_cards_are_never_overbooked_and_measuring_is_alone(tmp_path: Path, cluster) -> None:
    driver = drive(
        tmp_path,
        "[*(trials.finetune(f'f{n}') for n in range(8)), trials.measure('m'), trials.measure('n')]",
        "take_a_while",
        repr({"address": cluster.address, "gpus": 0.5}),
    )
    said = output(driver)
    assert driver.returncode == 0, said
    from tests.schedule.trials import notes

    seen = notes(tmp_path)
    training = [note for note in seen if note["kind"] == "finetune"]
    timing = [note for note in seen if note["kind"] == "measure"]
    load = defaultdict(list)
    for note in training:
        assert note["share"] == 0.5
        load[note["cards"]].append(note)
    assert set(load) == {"0", "1"}
    for notes_of_card in load.values():
        for note in notes_of_card:
            beside = [n for n in notes_of_card if n["began"] <= note["began"] < n["ended"]]
            assert sum(n["share"] for n in beside) <= 1.0
    assert min(note["began"] for note in timing) >= max(note["ended"] for note in training)
    assert {note["cards"] for note in timing} == {""}


def test_nodes_that_join_are_used_and_one_that_dies_has_its_trials_run_elsewhere(
    tmp_path: Path, cluster
) -> None:
    driver = drive(
        tmp_path,
        "[trials.finetune(f'f{n}', resources=Resources(cpus=2)) for n in range(5)]",
        "wait_for_go",
        repr({"address": cluster.address}),
    )
    wait_for(driver, tmp_path, "*.on.*")
    doomed = cluster.add_node(num_cpus=4, env_vars={"CLUSTER": "doomed"})
    wait_for(driver, tmp_path, "*.on.doomed")
    cluster.remove_node(doomed, allow_graceful=False)
    for note in tmp_path.glob("*.on.doomed"):  # a worker outlives its node for a moment and must not see "go"
        wait_until_gone(int(note.read_text()))
    (tmp_path / "go").touch()
    said = output(driver)
    assert driver.returncode == 0, said
    assert "tried again" in said
    assert "5 done" in said


def wait_until_gone(pid: int, seconds: float = 120) -> None:
    """Until that process has ended."""
    until = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, f"process {pid} is still there after {seconds} s"
            time.sleep(0.1)


def wait_for(driver: subprocess.Popen[str], folder: Path, pattern: str, seconds: float = 240) -> None:
    """Until a file of that name is there, which the driver's workers write."""
    until = time.monotonic() + seconds
    while not list(folder.glob(pattern)):
        assert driver.poll() is None, output(driver)
        assert time.monotonic() < until, f"no {pattern} after {seconds} s"
        time.sleep(0.1)
