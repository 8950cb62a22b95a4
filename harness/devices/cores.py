"""How many processor cores this process may use, which may be fewer than the machine has: `taskset`, Slurm and cpusets
restrict the cores, a cgroup's quota (containers, systemd, Kubernetes) restricts their time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that this process may use, at least one: its CPU affinity, within its cgroup's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(MEMBERSHIP, MOUNT)
    return bound if quota is None else max(1, min(bound, int(quota)))


def cgroup_quota(membership: Path, mount: Path) -> float | None:
    """CPU time that the cgroups of a process allow, in cores; None if they set no limit.

    `membership` is its `/proc/PID/cgroup`, `mount` where cgroups are mounted. The limits of all groups up to the root
    count (version 2: cpu.max; version 1: cpu.cfs_quota_us over cpu.cfs_period_us).
    """
    limits = [limit for folder in _groups(membership, mount) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _groups(membership: Path, mount: Path) -> Iterator[Path]:
    """Folders of the process's groups that may limit its CPU time, each with its ancestors."""
    try:
        lines = membership.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots = (mount, mount / "unified")
        elif "cpu" in controllers.split(","):
            roots = (mount / "cpu", mount / controllers)
        else:
            continue
        for root in roots:
            folder = root / path.lstrip("/")
            # Inside a container the path may be the host's: then the group is what is mounted.
            yield from (group for group in (folder, *folder.parents) if group.is_relative_to(root))


def _limit(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text("utf-8").split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period")
            )
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or `max`
        return None
