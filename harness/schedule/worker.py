"""What a worker does with a job: lock its trials' folders, run it, and see that every trial that ends has a result."""

from __future__ import annotations

import fcntl
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.assets.sources import Sources
from harness.devices import provenance
from harness.errors import TrialError
from harness.records.folder import TrialFolder
from harness.records.result import Failure, Result
from harness.records.trial import Trial

if TYPE_CHECKING:
    from harness.attempts.site import Site

RunJob = Callable[[Sequence[Trial], "Site"], list[Result]]
"""Runs the trials of one job in their folders, like `harness.trials.run.run_trials`. Raises
`TrialError('interrupted')` after a request to stop; a trial that fails is a result, not an exception."""

Begin = Callable[[Sequence[Trial]], bool]
"""Asked before trials of a job are run, without those that turn out to have ended: whether they may be."""

HOLD_SECONDS = 30.0
"""How long a worker waits for the lock of a predecessor that is still dying (its driver was killed)."""


@dataclass(frozen=True)
class WorkerSetup:
    """What every worker of a run is given."""

    runs_dir: Path
    """On a file system that all nodes share."""
    sources: Sources
    checkpoint_seconds: float
    run_job: RunJob | None
    """None for `harness.trials.run.run_trials`."""

    def site(self, stop: Callable[[], bool]) -> Site:
        """Where this worker's trials run, until `stop` returns True."""
        from harness.attempts.site import Site

        return Site(self.runs_dir, self.sources, stop=stop, checkpoint_seconds=self.checkpoint_seconds)


def default_run_job() -> RunJob:
    """What runs real trials; importing it loads torch."""
    from harness.trials.run import run_trials

    return run_trials


def perform(trials: Sequence[Trial], site: Site, run_job: RunJob, begin: Begin) -> list[Result]:
    """Run one job. Returns a result for every trial that ended: none for trials that a stop interrupted or that
    `begin` refused."""
    place = replace(site, device="cuda" if trials[0].resources.gpus else site.device)
    done: list[Result] = []
    left: list[Trial] = []
    with ExitStack() as holding:
        for trial in trials:
            try:
                holding.enter_context(hold(TrialFolder.of(place.runs_dir, trial.id)))
            except (TrialError, OSError) as error:
                done.append(_fail(trial, place, error))
                continue
            recorded = answer(place.runs_dir, trial)
            if recorded is None:
                left.append(trial)
            else:  # a worker that was taken for dead has finished it
                done.append(recorded)
        return done + (_run(left, place, run_job) if left and begin(left) else [])


def _run(trials: list[Trial], place: Site, run_job: RunJob) -> list[Result]:
    try:
        return run_job(trials, place)
    except Exception as error:
        recorded = {trial.id: answer(place.runs_dir, trial) for trial in trials}
        ended = [result for result in recorded.values() if result is not None]
        if isinstance(error, TrialError) and error.reason == "interrupted":
            return ended
        return ended + [_fail(trial, place, error) for trial in trials if recorded[trial.id] is None]


def _fail(trial: Trial, place: Site, error: Exception) -> Result:
    """Record an error that `run_job` did not turn into a result."""
    from harness.attempts.faults import end_if_device_is_lost, failure_of

    end_if_device_is_lost(error)
    with suppress(OSError):
        folder = TrialFolder.of(place.runs_dir, trial.id)
        (folder.path / "traceback.txt").write_text(
            "".join(traceback.format_exception(error)), encoding="utf-8"
        )
    return record_failure(place.runs_dir, trial, failure_of(error), time.time())


def answer(runs_dir: Path, trial: Trial) -> Result | None:
    """The recorded result of a trial, where it needs no further run."""
    return TrialFolder.of(runs_dir, trial.id).answer(trial)


def record_failure(runs_dir: Path, trial: Trial, failure: Failure, started_at: float) -> Result:
    """Write the result of a trial that could not write it itself. A full disk does not raise."""
    now = time.time()
    result = Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="failed",
        error=failure,
        started_at=started_at,
        finished_at=now,
        seconds=now - started_at,
        provenance=provenance.collect(device="cpu", precision="unresolved", threads=trial.resources.cpus),
    )
    folder = TrialFolder.of(runs_dir, trial.id)
    with suppress(OSError):
        if folder.read_trial() is None:
            folder.write_trial(trial)
        folder.write_result(result)
    return result


@contextmanager
def hold(folder: TrialFolder, wait: float = HOLD_SECONDS) -> Iterator[None]:
    """Lock a trial's folder for this process; the kernel releases the lock when the process dies.

    Raises TrialError if another process still holds it after `wait` seconds.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    path = folder.path / ".running"
    until = time.monotonic() + wait
    while (handle := _try_lock(path)) is None:
        if time.monotonic() > until:
            raise TrialError(
                "error",
                f"another process ({path.read_text().strip() or 'unknown'}) still works on this trial",
            )
        time.sleep(0.2)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _try_lock(path: Path) -> int | None:
    """The locked file's descriptor, or None if another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino != path.stat().st_ino:
            raise FileNotFoundError  # its holder removed it between our open and our lock
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, f"pid {os.getpid()} on {os.uname().nodename}\n".encode())
    return handle
