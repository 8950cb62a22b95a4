"""The harness's own training, one step at a time: real trials, run by `run_trials` as a worker runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from greenlet import greenlet

from harness.attempts.site import Site
from harness.records.trial import Trial
from harness.trials.run import run_trials


class _EnoughError(BaseException):
    """Ends the trials at once; a BaseException, so that no trial records it as a failure."""


class Engine:
    """Trials running on a stack of their own, suspended after every step: the loop asks `Site.stop` there.

    Not in a thread of their own: OpenMP keeps a pool of threads for every thread that computes, and with more threads
    than cores they wait for each other, which costs a tenth of a millisecond per operation.

    On entering, everything is loaded, the held-out loss measured and the first step taken.
    """

    def __init__(self, trials: Sequence[Trial], site: Site) -> None:
        self._trials = trials
        self._site = replace(site, stop=self._pause)
        self._work = greenlet(self._run)
        self.step()

    def step(self) -> None:
        """Take one step. Raises RuntimeError if the trials have ended, or the error that ended them."""
        ending = self._work.switch()
        if self._work.dead:
            raise RuntimeError(f"the harness's own side ended: {ending}")

    def close(self) -> None:
        """Abandon the trials."""
        self._work.throw(_EnoughError)

    def _pause(self) -> bool:
        assert self._work.parent is not None
        self._work.parent.switch()
        return False

    def _run(self) -> str:
        try:
            results = run_trials(self._trials, self._site)
        except _EnoughError:
            return "closed"
        return "; ".join(str(result.error or result.status) for result in results)
