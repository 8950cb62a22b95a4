"""Between two steps: when to save, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.attempts.faults import TrialInterruptedError
from harness.attempts.site import Site


@dataclass
class Cadence:
    """When to save next, by time: `share` of the running time at most goes into saving."""

    least: float = 15.0
    """Shortest time between two saves, seconds."""
    share: float = 0.015
    """Largest share of time spent saving: below the promised 2 %, since one save may cost more than the last."""
    clock: Callable[[], float] = time.monotonic
    _saved_at: float = field(init=False)
    _cost: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._saved_at = self.clock()

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return self.clock() - self._saved_at >= max(self.least, self._cost / self.share)

    def run(self, save: Callable[[], None]) -> None:
        """Save now and remember what it cost."""
        start = self.clock()
        save()
        self._saved_at = self.clock()
        self._cost = self._saved_at - start


def stop_or_save(
    site: Site,
    cadence: Cadence,
    save: Callable[[], None],
    interrupted: Callable[[], TrialInterruptedError],
) -> None:
    """Save where it is time; where the site says stop, save and raise `interrupted()`. All workers do the same."""
    stop, due = site.workers.decided(site.stop(), cadence.due)
    if stop:
        save()
        raise interrupted()
    if due:
        cadence.run(save)
