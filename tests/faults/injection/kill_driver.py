"""Kills the driver of a small plan (`kill -9`) at random moments, and each driver that continues it, until one finishes.

Costs one start of `harness run` per kill, and one undisturbed run.

Afterwards every trial is `ok`, weights and scores are those of an undisturbed run to the last bit, no driver started a
trial that had ended before it or one twice, those with a checkpoint went on from it, no process is left of any of the
runs, and `harness verify` finds nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.injection.aftermath import Moment, Reference, check, check_drivers, undisturbed
from tests.faults.injection.tiny import Driver, harness_run, recorded
from tests.faults.injection.verdict import Verdict, command

KILLS = 4
"""Kills of successive drivers per plan: most of a kill's cost is the new start."""
TRIES = 5
"""Consecutive attempts at plans that end before anything could be killed."""


def prove(folder: Path, count: int, seed: int, options: Sequence[str] = (), **changes: Any) -> Verdict:
    """Kill `count` drivers of a plan with these `options` and `changes` (as of `undisturbed`)."""
    verdict = Verdict("kill -9 of the driver")
    draw = random.Random(seed)
    reference = undisturbed(folder, options, **changes)
    done: list[int] = []
    plans = resumed = in_vain = 0
    while len(done) < count:
        runs = folder / f"killed-{plans}"
        moments = _live_through(verdict, reference, runs, draw, min(KILLS, count - len(done)))
        done += [len(moment.done) for moment in moments]
        resumed += sum(result.resumed > 0 for result in recorded(runs).values())
        plans += 1
        in_vain = 0 if moments else in_vain + 1
        if in_vain == TRIES:
            raise RuntimeError(f"{TRIES} plans in a row ended before their driver could be killed")
    verdict.figures = (
        f"{count} kills in {plans} plans, {min(done)} to {max(done)} of {len(reference.answers)} trials done "
        f"by then, {resumed} trials resumed from a checkpoint"
    )
    return verdict


def _live_through(
    verdict: Verdict, reference: Reference, runs: Path, draw: random.Random, kills: int
) -> list[Moment]:
    """Run one plan to its end although its first `kills` drivers are killed (fewer if one ends before); returns the
    state of the disk after each kill."""
    moments: list[Moment] = []
    drivers = [harness_run(reference.spec, runs, reference.options)]
    while len(moments) < kills and _kill(drivers[-1], draw.uniform(0, reference.until_next(kills))):
        moments.append(Moment.of(runs))
        drivers.append(harness_run(reference.spec, runs, reference.options))
    last = drivers[-1]
    verdict.claim(last.wait() == 0, f"{runs.name}: the further run failed: {last.said[-500:]}")
    check_drivers(verdict, runs, drivers, moments)
    check(verdict, runs, reference, *moments)
    return moments


def _kill(driver: Driver, seconds: float) -> bool:
    """Kill it this many seconds after the start of its first trial; returns whether it was still running."""
    driver.wait_until(lambda: bool(driver.started()))
    at = time.monotonic() + seconds
    if not driver.wait_until(lambda: time.monotonic() >= at):
        return False
    driver.kill()
    return True


if __name__ == "__main__":
    command(prove, count=30)
