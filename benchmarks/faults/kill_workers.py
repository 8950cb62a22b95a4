"""One of the processes that a run consists of is killed (`kill -9`) at a random moment, again and again.

Where a worker died (the process that trains, or the slot that leases trials to it), the same run ends well; where
the dispatcher died, the run says so and a further one ends well. Weights and scores are those of an undisturbed
run to the last bit, no trial that had ended was run again, none was started more often than it lost its worker,
and `harness verify` finds nothing.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.faults.aftermath import Moment, Reference, check, undisturbed
from benchmarks.faults.tiny import Driver, harness_run, recorded
from benchmarks.faults.verdict import Verdict, command

TRIES = 5
"""A kill that finds nobody is tried again, so often in a row at most."""
_ACTOR = re.compile(r"ray::(Worker|\w*Slot|DispatcherActor)")


@dataclass(frozen=True)
class Killed:
    """What was done to a run."""

    driver: Driver
    role: str
    """Class of the actor that lived in the process."""
    moment: Moment
    starts: int
    """How many starts of trials the driver had told by then."""


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Kill a process in each of `count` runs."""
    verdict = Verdict("kill -9 of workers")
    draw = random.Random(seed)
    reference = undisturbed(folder)
    roles: Counter[str] = Counter()
    resumed = 0
    for number in range(count):
        runs = folder / f"killed-{number}"
        killed = _run_with_a_kill(reference, runs, draw)
        _check_run(verdict, runs, reference, killed)
        roles[killed.role] += 1
        resumed += sum(result.resumed > 0 for result in recorded(runs).values())
    by_role = ", ".join(f"{number} {role}" for role, number in roles.most_common())
    verdict.figures = f"{count} kills ({by_role}), {resumed} trials resumed from a checkpoint"
    return verdict


def _run_with_a_kill(reference: Reference, runs: Path, draw: random.Random) -> Killed:
    """A run of which one process was killed between its first trial's start and its end."""
    for attempt in range(TRIES):
        driver = harness_run(reference.spec, runs)
        driver.wait_until(lambda: bool(driver.started()))  # noqa: B023 (called in this turn)
        at = time.monotonic() + draw.uniform(0, reference.seconds)
        if driver.wait_until(lambda: time.monotonic() >= at):  # noqa: B023
            starts = len(driver.started())
            actors = _actors(driver)
            if actors:
                process, role = draw.choice(actors)
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    return Killed(driver, role, Moment.of(runs), starts)
        driver.wait()
        runs.rename(runs.with_name(f"{runs.name}.too-late-{attempt}"))
    raise RuntimeError(f"{TRIES} runs in a row ended before anything could be killed: {driver.said}")


def _actors(driver: Driver) -> list[tuple[psutil.Process, str]]:
    """The processes in which this project's actors live, by id, with the actor's class."""
    found = []
    for process in sorted(driver.look(), key=lambda one: one.pid):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            actor = _ACTOR.match(" ".join(process.cmdline()))
            if actor:
                found.append((process, actor[1]))
    return found


def _check_run(verdict: Verdict, runs: Path, reference: Reference, killed: Killed) -> None:
    code = killed.driver.wait()
    starts = killed.driver.started()[killed.starts :]
    said = killed.driver.said
    if killed.role == "DispatcherActor":
        verdict.claim(code == 1 and "dispatcher" in said, f"{runs.name}: ended with {code}: {said[-500:]}")
        again = harness_run(reference.spec, runs)
        verdict.claim(again.wait() == 0, f"{runs.name}: the further run failed: {again.said[-500:]}")
        starts += again.started()
    else:
        verdict.claim(code == 0, f"{runs.name}: a dead {killed.role} ended the run: {code}: {said[-500:]}")
    verdict.claim("Traceback" not in said, f"{runs.name}: it printed a traceback: {said[-500:]}")
    again_and_again = len(starts) - len(set(starts))
    verdict.claim(
        again_and_again
        <= killed.driver.handed_back(),  # a job may be leased to a worker that is dead already
        f"{runs.name}: {again_and_again} starts too many after the kill: {Counter(starts).most_common(3)}",
    )
    verdict.claim(not (left := killed.driver.orphans()), f"{runs.name}: processes are left behind: {left}")
    check(verdict, runs, reference, killed.moment)


if __name__ == "__main__":
    command(prove, count=30)
