"""Join or start Ray, configured for this project: quiet, without telemetry, with a small object store."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from harness.devices.cores import available_cores
from harness.errors import HarnessError, InputError
from harness.schedule.dispatch.slot_shapes import Node

ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",  # since 2.60 the default of `ray start`, but not of those that join
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # trials without a GPU do not see one
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    # Its memory monitor kills several processes at once, the dispatcher among them; the kernel kills only the largest.
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a lost connection is an error, not a reason to start another Ray
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the driver's
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the runs directory is the state, not Tune's
    "TUNE_MAX_PENDING_TRIALS_PG": "1024",  # slots start side by side, not one after another
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "86400",
}
"""Environment variables that Ray reads on import; a value that the user has set takes precedence."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Only trials and results pass through Ray; weights and data go through the file system."""
START_TRIES = 3
"""How often Ray is started at most. It gives itself 30 seconds, which a busy machine may not have."""
END_SECONDS = 10.0
"""How long to wait for killed processes to end."""


@contextmanager
def connected(address: str | None, cpus: int | None = None) -> Iterator[Any]:
    """The `ray` module, connected to the cluster at `address` (`auto`, `ray://host:port`).

    Without an address, a new Ray with `cpus` cores runs on this machine until the end of the block; its processes and
    files are then removed. A cluster that was joined is left as it was. Raises InputError if there is no such
    cluster, HarnessError if Ray does not start.
    """
    _set_environment()
    import ray

    if address is None:
        keep_token_out_of_home()
    own = _start(ray, cpus) if address is None else None
    if address is not None:
        _join(ray, address)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with guarded([] if own is None else _below(own)):
            yield ray
    finally:
        below = [] if own is None else _below(own)
        ray.shutdown()
        _end(below)
        if own is not None:
            shutil.rmtree(own.get_session_dir_path(), ignore_errors=True)


LONGEST_SOCKET = 107
"""Bytes that the path of a Unix socket may have."""
_SESSION = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray adds to its folder."""

OPTIONS: dict[str, Any] = {
    "logging_level": logging.ERROR,
    "log_to_driver": False,
    "namespace": "distil-harness",
}
"""Options of every `ray.init`."""


def _start(ray: Any, cpus: int | None) -> Any:
    """The node of a new Ray."""
    folder, ours = socket_folder(), psutil.Process()
    before = ours.children(recursive=True)
    for left in reversed(range(START_TRIES)):
        try:
            ray.init(
                "local",
                num_cpus=cpus or available_cores(),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=folder,
                **OPTIONS,
            )
            break
        except Exception as error:  # Ray has no class for a start that takes longer than it waits
            _end([process for process in ours.children(recursive=True) if process not in before])
            if not left:
                raise HarnessError(
                    f"Ray did not start on this machine: {' '.join(str(error).split())[:300]}; try again when it is "
                    "less busy, or use --backend local"
                ) from error
    return ray._private.worker._global_node


def socket_folder() -> str | None:
    """Where Ray keeps its sockets; None for its own choice, which fits. InputError where nothing short enough can be
    written."""
    usual = os.path.join(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray")
    if len(os.fsencode(usual + _SESSION)) <= LONGEST_SOCKET:
        return None
    short = f"/tmp/ray-{os.getuid()}"
    try:
        os.makedirs(short, mode=0o700, exist_ok=True)
        if os.lstat(short).st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "it belongs to another user")
    except OSError as error:
        raise InputError(
            f"the folder for temporary files, {usual}, is too long for Ray's sockets ({LONGEST_SOCKET} bytes), and "
            f"{short} cannot be written ({error.strerror}); set RAY_TMPDIR to a shorter folder, or use --backend local"
        ) from error
    return short


def keep_token_out_of_home() -> None:
    """Give a Ray of our own its token by the environment where the home folder, in which Ray keeps one, cannot be
    written."""
    home = Path(os.path.expanduser("~"))
    if (
        os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
        or (home / ".ray" / "auth_token").exists()
    ):
        return
    try:
        (home / ".ray").mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=home / ".ray"):
            pass
    except OSError:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address, **OPTIONS)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"no Ray cluster answers at --address {address}: {reason[:300]}; start one with "
            "`RAY_AUTH_MODE=token ray start --head`, or leave --address out to use this machine alone"
        ) from error


def _below(node: Any) -> list[psutil.Process]:
    """The agents and workers that a node's servers have started."""
    servers = [info.process.pid for infos in node.all_processes.values() for info in infos]
    nodes = []
    for pid in servers:
        with suppress(psutil.NoSuchProcess):
            nodes += psutil.Process(pid).children(recursive=True)
    return nodes


def _end(processes: list[psutil.Process]) -> None:
    """Kill what is left of a Ray that has ended.

    Ray gives its raylet a second to end its children and then kills it; orphaned agents would live on for a minute.
    """
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=END_SECONDS)


_GUARD = """
import sys, psutil
processes = [psutil.Process(int(pid)) for pid in sys.argv[1:] if psutil.pid_exists(int(pid))]
sys.stdin.read()
for process in filter(psutil.Process.is_running, processes):
    process.kill()
"""


@contextmanager
def guarded(processes: list[psutil.Process]) -> Iterator[None]:
    """If this process is killed inside the block, a helper kills `processes` when our pipe to it closes.

    Ray ends its servers and workers itself; its agents would live on for a minute.
    """
    if not processes:
        yield
        return
    command = [sys.executable, "-c", _GUARD, *(str(process.pid) for process in processes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as guard:
        try:
            yield
        finally:
            guard.kill()


def _set_environment() -> None:
    """Set `ENVIRONMENT`. If Ray is already imported, its authentication mode is fixed, and child processes must not
    get another."""
    late = {"RAY_AUTH_MODE"} if "ray" in sys.modules else set()
    for name, value in ENVIRONMENT.items():
        if name not in late:
            os.environ.setdefault(name, value)


def nodes(ray: Any) -> list[Node]:
    """The cluster's living machines that offer at least one core."""
    return [
        Node(
            id=node["NodeID"],
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=node["Resources"].get("GPU", 0.0),
            memory=node["Resources"].get("memory", float("inf")),
            address=node["NodeManagerAddress"],
        )
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
    ]


def measuring_order(ray: Any, candidates: list[Node]) -> list[Node]:
    """The machines in the order in which a run measures on them: the driver's own first, then by id. It measures on the
    first that holds what it asks for; a driver's machine may have no GPU."""
    own = ray.get_runtime_context().get_node_id()
    return sorted(candidates, key=lambda node: (node.id != own, node.id))
