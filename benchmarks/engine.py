"""The harness's own training, one step at a time: real trials, run by `run_trials` as a worker runs them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from harness.records import Trial
from harness.training.attempt import Workplace
from harness.trial import run_trials


class _EnoughError(BaseException):
    """Ends the trials where they stand; no trial takes it for a failure of its own."""


class Engine:
    """Trials under way in a thread of their own, which waits after every step: the loop asks `Workplace.stop`
    there.

    On entering, everything is loaded, the held-out loss taken and the first step done.
    """

    def __init__(self, trials: Sequence[Trial], workplace: Workplace) -> None:
        self._trials = trials
        self._workplace = replace(workplace, stop=self._pause)
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Take one step. Raises RuntimeError where the trials have ended."""
        self._go.release()
        self._wait()

    def close(self) -> None:
        """Leave the trials where they stand."""
        self._over = True
        self._go.release()
        self._thread.join()

    def _wait(self) -> None:
        self._paused.acquire()
        if self._error is not None:
            raise RuntimeError("the harness's own side ended") from self._error

    def _pause(self) -> bool:
        self._paused.release()
        self._go.acquire()
        if self._over:
            raise _EnoughError
        return False

    def _run(self) -> None:
        try:
            results = run_trials(self._trials, self._workplace)
            told = "; ".join(str(result.error or result.status) for result in results)
            self._error = RuntimeError(told)
        except _EnoughError:
            return
        except BaseException as error:
            self._error = error
        self._paused.release()
