"""What a worker does with a job: hold its folders, run it, and make sure that every end has a result."""

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
    from harness.training.attempt import Workplace

Work = Callable[[Sequence[Trial], "Workplace"], list[Result]]
"""Runs the trials of one job in their folders, e.g. `harness.trials.run.run_trials`. Raises
`TrialError('interrupted')` when it was told to stop; faults of a trial are results, not exceptions."""

Begin = Callable[[Sequence[Trial]], bool]
"""Told of the trials of a job that are about to be run, those left out that had ended after all: whether they
may be."""

HOLD_SECONDS = 30.0
"""How long a worker waits for a predecessor that is still dying (its driver was killed) to let go of a
trial."""


@dataclass(frozen=True)
class Site:
    """What every worker is told."""

    runs_dir: Path
    """On a file system that all nodes share."""
    sources: Sources
    checkpoint_seconds: float
    work: Work | None
    """None for `harness.trials.run.run_trials`."""

    def workplace(self, stop: Callable[[], bool]) -> Workplace:
        """Where this worker's trials run until `stop` says so."""
        from harness.training.attempt import Workplace

        return Workplace(self.runs_dir, self.sources, stop=stop, checkpoint_seconds=self.checkpoint_seconds)


def default_work() -> Work:
    """The real thing; importing it loads torch."""
    from harness.trials.run import run_trials

    return run_trials


def perform(trials: Sequence[Trial], workplace: Workplace, work: Work, begin: Begin) -> list[Result]:
    """Run one job. Returns a result for every trial that ended; trials interrupted by a stop have none, and
    none are begun that `begin` refuses."""
    place = replace(workplace, device="cuda" if trials[0].resources.gpus else workplace.device)
    done: list[Result] = []
    left: list[Trial] = []
    with ExitStack() as holding:
        for trial in trials:
            try:
                holding.enter_context(hold(TrialFolder.of(place.runs_dir, trial.id)))
            except (TrialError, OSError) as error:
                done.append(_fail(trial, place, error))
                continue
            recorded = ended_well(place.runs_dir, trial.id)
            if recorded is None:
                left.append(trial)
            else:  # a worker thought lost finished it meanwhile
                done.append(recorded)
        return done + (_run(left, place, work) if left and begin(left) else [])


def _run(trials: list[Trial], place: Workplace, work: Work) -> list[Result]:
    try:
        return work(trials, place)
    except Exception as error:
        recorded = {trial.id: ended_well(place.runs_dir, trial.id) for trial in trials}
        ended = [result for result in recorded.values() if result is not None]
        if isinstance(error, TrialError) and error.reason == "interrupted":
            return ended
        return ended + [_fail(trial, place, error) for trial in trials if recorded[trial.id] is None]


def _fail(trial: Trial, place: Workplace, error: Exception) -> Result:
    """Record what nobody below us has caught."""
    from harness.training.faults import failure_of

    with suppress(OSError):
        folder = TrialFolder.of(place.runs_dir, trial.id)
        (folder.path / "traceback.txt").write_text(
            "".join(traceback.format_exception(error)), encoding="utf-8"
        )
    return record_failure(place.runs_dir, trial, failure_of(error), time.time())


def ended_well(runs_dir: Path, trial_id: str) -> Result | None:
    """The recorded result of a trial, where it needs no further run."""
    result = TrialFolder.of(runs_dir, trial_id).read_result()
    return result if result is not None and result.status != "failed" else None


def record_failure(runs_dir: Path, trial: Trial, failure: Failure, started_at: float) -> Result:
    """Write the result of a trial that could not do so itself, as far as the disk lets."""
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
    """Keep a trial's folder to this process, by a lock that the kernel drops when the process dies.

    Raises TrialError when another process still works there after `wait` seconds.
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
    """The open, locked file, or None where it is taken."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_ino != path.stat().st_ino:
            raise FileNotFoundError  # its last holder removed it between our opening and locking it
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        return None
    os.ftruncate(handle, 0)
    os.write(handle, f"pid {os.getpid()} on {os.uname().nodename}\n".encode())
    return handle
