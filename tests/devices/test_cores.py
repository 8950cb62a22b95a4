"""The cores that may be used are bounded by what the process is bound to and by every cgroup above it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.devices.cores import available_cores, cgroup_quota


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "allowed"),
    [
        ({"": "max 100000", "slurm": "max 100000", "slurm/job": "max 100000"}, None),
        ({"": "max 100000", "slurm": "300000 100000", "slurm/job": "max 100000"}, 3.0),
        ({"slurm": "300000 100000", "slurm/job": "150000 100000"}, 1.5),
        ({"": "50000 100000", "slurm/job": "400000 100000"}, 0.5),
        ({"slurm/job": "nonsense"}, None),
    ],
)
def test_every_group_on_the_way_up_counts(
    groups: dict[str, str], allowed: float | None, tmp_path: Path
) -> None:
    write(tmp_path / "cgroup", "0::/slurm/job\n")
    for group, limit in groups.items():
        write(tmp_path / "mount" / group / "cpu.max", limit)
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "mount") == allowed


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "allowed"), [("250000", 2.5), ("-1", None)])
def test_version_one_is_understood(
    controllers: str, quota: str, allowed: float | None, tmp_path: Path
) -> None:
    write(tmp_path / "cgroup", f"4:memory:/docker/x\n3:{controllers}:/docker/x\n")
    write(tmp_path / "mount" / controllers / "docker" / "x" / "cpu.cfs_quota_us", quota)
    write(tmp_path / "mount" / controllers / "docker" / "x" / "cpu.cfs_period_us", "100000")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "mount") == allowed


def test_inside_a_container_the_group_is_what_is_mounted(tmp_path: Path) -> None:
    write(tmp_path / "cgroup", "0::/../../kubepods/pod7\n")
    write(tmp_path / "mount" / "cpu.max", "200000 100000")
    assert cgroup_quota(tmp_path / "cgroup", tmp_path / "mount") == 2.0
    assert cgroup_quota(tmp_path / "none", tmp_path / "mount") is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_bound_to_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from harness.devices.cores import available_cores; print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))
