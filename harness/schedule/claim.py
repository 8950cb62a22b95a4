"""A runs directory belongs to one driver at a time: `driver.json` names it, and the next driver replaces the claim of a
dead one."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pydantic import ValidationError

from harness.base import Frozen
from harness.errors import InputError

CLAIM = "driver.json"
BEAT_SECONDS = 10.0
"""Seconds between two touches of a claim by its holder."""
STALE_SECONDS = 60.0
"""A holder on another machine that has not touched its claim for this long counts as dead."""


class Holder(Frozen):
    """The driver that holds a runs directory."""

    host: str
    machine: str
    """Host, boot and process namespace, within which a process id is unique."""
    pid: int
    created: float
    """Start of the process, seconds since the epoch: distinguishes it from a later one with the same id."""
    started_at: float
    command: str

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        process = psutil.Process()
        return cls(
            host=os.uname().nodename,
            machine=_machine(),
            pid=process.pid,
            created=process.create_time(),
            started_at=time.time(),
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )

    @property
    def is_here(self) -> bool:
        """Whether its process can be looked up from here."""
        return self.machine == _machine()

    @property
    def lives(self) -> bool:
        """Whether its process still runs; call only if `is_here`."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started_at))
        return f"`{self.command}` (process {self.pid} on {self.host}, since {since})"


@contextmanager
def claimed(runs_dir: Path) -> Iterator[None]:
    """Hold `runs_dir` until the end of the block. Raises InputError, naming the holder, if another driver has it."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    me = Holder.here()
    _take(runs_dir, me)
    ended = threading.Event()
    beat = threading.Thread(target=_keep_fresh, args=(runs_dir / CLAIM, ended), name="claim", daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        if holder(runs_dir) == me:
            (runs_dir / CLAIM).unlink(missing_ok=True)


def holder(runs_dir: Path) -> Holder | None:
    """The driver that claimed the directory, dead or alive; None without a readable claim."""
    try:
        return Holder.model_validate_json((runs_dir / CLAIM).read_bytes())
    except (OSError, ValidationError):
        return None


def is_alive(runs_dir: Path, claim: Holder) -> bool:
    """Whether the holder still runs: looked up here, judged by the age of its claim on another machine."""
    return claim.lives if claim.is_here else _silence(runs_dir) < STALE_SECONDS


def _take(runs_dir: Path, me: Holder) -> None:
    path = runs_dir / CLAIM
    while not _create(path, me):
        current = holder(runs_dir)
        unreadable_for = _silence(runs_dir) if current is None else 0.0
        if current is not None and is_alive(runs_dir, current):
            raise InputError(
                f"{runs_dir} is in use by {current}; wait for it, stop it, or choose another folder "
                "with --runs-dir"
            )
        if current is not None or unreadable_for > STALE_SECONDS:
            _remove_stale(path, current)
        else:
            time.sleep(0.1)


def _create(path: Path, me: Holder) -> bool:
    """Write the claim unless there is one. A hard link is atomic, on NFS too."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(me.model_dump(mode="json"), indent=2))
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True


def _remove_stale(path: Path, stale: Holder | None) -> None:
    """Move the claim aside; put it back if another driver has replaced it in the meantime."""
    aside = path.with_name(f".{path.name}.stale.{os.uname().nodename}.{os.getpid()}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    try:
        if (
            aside.read_bytes()
            and stale is not None
            and Holder.model_validate_json(aside.read_bytes()) != stale
        ):
            with suppress(FileExistsError):
                os.link(aside, path)
    except ValidationError:
        pass
    aside.unlink(missing_ok=True)


def _silence(runs_dir: Path) -> float:
    """Seconds since the claim was last touched, by the file system's clock; 0 if it has just been removed."""
    with tempfile.NamedTemporaryFile(dir=runs_dir, prefix=".clock.") as now:
        try:
            return os.fstat(now.fileno()).st_mtime - (runs_dir / CLAIM).stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _keep_fresh(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _machine() -> str:
    parts = [os.uname().nodename]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with suppress(OSError):
            parts.append(os.readlink(path) if "ns" in path else Path(path).read_text().strip())
    return " ".join(parts)
