"""The driver is killed (`kill -9`) at random moments of a small plan, and the plan run once more.

Afterwards every trial is `ok`, weights and scores are those of an undisturbed run to the last bit, no trial that had
ended was run again and none was taken up more than once, those with a checkpoint went on from it, no process is
left of the killed run, and `harness verify` finds nothing.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.faults.aftermath import Moment, Reference, check, undisturbed
from benchmarks.faults.tiny import Driver, harness_run, recorded
from benchmarks.faults.verdict import Verdict, command

TRIES = 5
"""A kill that comes after the driver has ended is tried again, so often in a row at most."""


def prove(folder: Path, count: int, seed: int, options: Sequence[str] = (), **changes: Any) -> Verdict:
    """Kill `count` drivers of a plan with these `options` and `changes` (as of `undisturbed`)."""
    verdict = Verdict("kill -9 of the driver")
    draw = random.Random(seed)
    reference = undisturbed(folder, options, **changes)
    done: list[int] = []
    resumed = 0
    for number in range(count):
        runs = folder / f"killed-{number}"
        driver = _killed_while_running(reference, runs, draw)
        moment = Moment.of(runs)
        again = harness_run(reference.spec, runs, options)
        verdict.claim(again.wait() == 0, f"{runs.name}: the further run failed: {again.said[-500:]}")
        verdict.claim(not (left := driver.orphans()), f"{runs.name}: processes are left behind: {left}")
        check(verdict, runs, reference, moment)
        _check_starts(verdict, runs, moment, again)
        done.append(len(moment.done))
        resumed += sum(result.resumed > 0 for result in recorded(runs).values())
    verdict.figures = (
        f"{count} kills, {min(done)} to {max(done)} of {len(reference.answers)} trials done by then, "
        f"{resumed} trials resumed from a checkpoint"
    )
    return verdict


def _killed_while_running(reference: Reference, runs: Path, draw: random.Random) -> Driver:
    """A driver that was killed between its first trial's start and its end."""
    for attempt in range(TRIES):
        driver = harness_run(reference.spec, runs, reference.options)
        driver.wait_until(lambda: bool(driver.started()))  # noqa: B023 (called in this turn)
        at = time.monotonic() + draw.uniform(0, reference.seconds)
        if driver.wait_until(lambda: time.monotonic() >= at):  # noqa: B023
            driver.kill()
            return driver
        runs.rename(runs.with_name(f"{runs.name}.too-late-{attempt}"))
    raise RuntimeError(f"{TRIES} drivers in a row ended before they could be killed: {driver.said}")


def _check_starts(verdict: Verdict, runs: Path, moment: Moment, again: Driver) -> None:
    """The further run took up what was missing, once each, and went on from every checkpoint."""
    often = {name: n for name, n in Counter(again.started()).items() if n > 1 or name in moment.done}
    verdict.claim(not often, f"{runs.name}: the further run took up {often}")
    results = recorded(runs)
    for name in moment.saved & set(results):
        resumed = results[name].resumed
        verdict.claim(resumed == 1, f"{runs.name}: {name} had a checkpoint, resumed {resumed} times")


if __name__ == "__main__":
    command(prove, count=30)
