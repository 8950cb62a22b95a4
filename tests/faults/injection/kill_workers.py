"""Kills processes of a run other than its driver (`kill -9`) at random moments: workers, slots, the dispatcher.

Costs one run of a small plan for every few kills, and one undisturbed run.

Where a worker died (the process that trains, or the slot that leases trials to it), the same run ends well; where
the dispatcher died, the run says so and a further one ends well. Weights and scores are those of an undisturbed
run to the last bit, no trial that had ended was run again, none was started more often than it lost a worker that
was at it, no process is left of any of the runs, and `harness verify` finds nothing.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from tests.faults.injection.aftermath import Moment, Reference, check, check_drivers, undisturbed
from tests.faults.injection.tiny import Driver, harness_run, recorded
from tests.faults.injection.verdict import Verdict, command

KILLS = 2
"""Kills per plan, at most: a trial that loses three workers while it is alone fails, as intended."""
TRIES = 5
"""Consecutive attempts at plans that end before anything could be killed."""
_ACTOR = re.compile(r"ray::(Worker|Slot|ResourceTrainable|DispatcherActor)\b")
_ROLES = {"ResourceTrainable": "Slot"}
"""Tune runs a slot as a subclass of this name."""


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Kill `count` processes."""
    verdict = Verdict("kill -9 of workers")
    draw = random.Random(seed)
    reference = undisturbed(folder)
    roles: Counter[str] = Counter()
    plans = resumed = in_vain = 0
    while roles.total() < count:
        runs = folder / f"killed-{plans}"
        killed = _live_through(verdict, reference, runs, draw, min(KILLS, count - roles.total()))
        roles.update(killed)
        resumed += sum(result.resumed > 0 for result in recorded(runs).values())
        plans += 1
        in_vain = 0 if killed else in_vain + 1
        if in_vain == TRIES:
            raise RuntimeError(f"{TRIES} plans in a row ended before anything could be killed")
    by_role = ", ".join(f"{number} {role}" for role, number in roles.most_common())
    verdict.figures = (
        f"{count} kills ({by_role}) in {plans} plans, {resumed} trials resumed from a checkpoint"
    )
    return verdict


def _live_through(
    verdict: Verdict, reference: Reference, runs: Path, draw: random.Random, kills: int
) -> list[str]:
    """Run one plan to its end although `kills` of its processes are killed (fewer if it ends
    before); returns their roles."""
    roles: list[str] = []
    seen: list[Moment] = []
    ends: list[Moment] = []
    drivers = [harness_run(reference.spec, runs)]
    while len(roles) < kills:
        role = _kill(drivers[-1], draw, draw.uniform(0, reference.until_next(kills)))
        if not role:
            break
        roles.append(role)
        seen.append(Moment.of(runs))
        if role == "DispatcherActor":
            _check_end_without_dispatcher(verdict, runs, drivers[-1])
            ends.append(Moment.of(runs))
            drivers.append(harness_run(reference.spec, runs))
    last = drivers[-1]
    verdict.claim(last.wait() == 0, f"{runs.name}: it failed after {roles}: {last.said[-500:]}")
    for driver in drivers:
        verdict.claim("Traceback" not in driver.said, f"{runs.name}: a traceback: {driver.said[-500:]}")
    jobs = sum(len(driver.lost()) for driver in drivers)
    verdict.claim(jobs <= len(roles), f"{runs.name}: {jobs} jobs were lost to {roles}: {last.said}")
    check_drivers(verdict, runs, drivers, ends)
    check(verdict, runs, reference, *seen, *ends)
    return roles


def _kill(driver: Driver, draw: random.Random, seconds: float) -> str:
    """Kill one of its actors this many seconds after the start of its first trial, or from now if that has started;
    returns its role, empty if the run ended before."""
    driver.wait_until(lambda: bool(driver.started()))
    at = time.monotonic() + seconds
    while driver.wait_until(lambda: time.monotonic() >= at):
        actors = _actors(driver)
        if actors:
            process, role = draw.choice(actors)
            with suppress(psutil.NoSuchProcess):
                process.kill()
                return role
    return ""


def _actors(driver: Driver) -> list[tuple[psutil.Process, str]]:
    """The processes in which this project's actors live, by id, with the actor's class."""
    found = []
    for process in sorted(driver.look(), key=lambda one: one.pid):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            actor = _ACTOR.match(" ".join(process.cmdline()))
            if actor:
                found.append((process, _ROLES.get(actor[1], actor[1])))
    return found


def _check_end_without_dispatcher(verdict: Verdict, runs: Path, driver: Driver) -> None:
    code = driver.wait()
    says_why = code == 1 and "dispatcher" in driver.said
    verdict.claim(says_why, f"{runs.name}: ended with {code}: {driver.said[-500:]}")


if __name__ == "__main__":
    command(prove, count=30)
