"""The result of an undisturbed run of the tiny plan, and its comparison with disturbed runs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.attempts.checkpoints import Checkpoints
from harness.records.folder import trial_folders
from tests.faults.injection.tiny import (
    Driver,
    answers,
    disagreements,
    harness_run,
    recorded,
    stamps,
    write_spec,
)
from tests.faults.injection.verdict import Verdict


@dataclass(frozen=True)
class Reference:
    """An undisturbed run."""

    spec: Path
    answers: dict[str, Any]
    seconds: float
    """From the start of the first trial to the end."""
    options: tuple[str, ...]
    """Options of `harness run`, for the disturbed runs too."""

    def until_next(self, faults: int) -> float:
        """Upper bound of the delay before the next of so many faults, in seconds: together they cover the whole run, as
        points drawn from it would."""
        return 2 * self.seconds / (faults + 1)


@dataclass(frozen=True)
class Moment:
    """State of the disk at one moment."""

    done: dict[str, int]
    """Trials that had ended well -> when (ns)."""
    saved: frozenset[str]
    """Running trials that had a checkpoint."""

    @classmethod
    def of(cls, runs: Path) -> Moment:
        """Look at a runs directory."""
        done = [name for name, result in recorded(runs).items() if result.status == "ok"]
        under_way = [folder for folder in trial_folders(runs) if folder.path.name not in done]
        saved = frozenset(f.path.name for f in under_way if Checkpoints(f.checkpoint).steps)
        return cls(stamps(runs, done), saved)


def undisturbed(
    folder: Path, options: Sequence[str] = (), prefix: Sequence[str] = (), **changes: Any
) -> Reference:
    """Write the plan below `folder` (`changes` as of `write_spec`) and run it once to its end; `options` and `prefix`
    as of `harness_run`."""
    spec = write_spec(folder, **changes)
    driver = harness_run(spec, folder / "undisturbed", options, prefix)
    if not driver.wait_until(lambda: bool(driver.started())):
        raise RuntimeError(f"the undisturbed run did not start:\n{driver.said}")
    began = time.monotonic()
    if driver.wait() != 0:
        raise RuntimeError(f"the undisturbed run failed:\n{driver.said}")
    seconds = time.monotonic() - began
    return Reference(spec, answers(folder / "undisturbed"), seconds, tuple(options))


def check(verdict: Verdict, runs: Path, reference: Reference, *moments: Moment) -> None:
    """Every trial has the undisturbed result, none that had ended at one of the `moments` was run again, and folders
    and database agree."""
    found = answers(runs)
    for name, expected in reference.answers.items():
        given = found.get(name)
        verdict.claim(given == expected, f"{runs.name}: {name} is {given}, undisturbed {expected}")
    for moment in moments:
        same = stamps(runs, list(moment.done)) == moment.done
        verdict.claim(same, f"{runs.name}: a trial that had ended was run again")
    wrong = disagreements(runs)
    verdict.claim(not wrong, f"{runs.name}: harness verify: {wrong[:3]}")


def check_drivers(verdict: Verdict, runs: Path, drivers: Sequence[Driver], moments: Sequence[Moment]) -> None:
    """Of the drivers that completed one plan, none started a trial that had ended before it, or started one more often
    than it lost its worker; none left a process behind; trials with a checkpoint resumed from it. `moments[i]`: when
    driver `i` was gone, for each but the last."""
    results = recorded(runs)
    for number, driver in enumerate(drivers):
        starts = Counter(driver.started())
        again = sorted(starts.keys() & moments[number - 1].done) if number else []
        verdict.claim(not again, f"{runs.name}: run {number} started {again}, which had ended")
        unneeded = starts.total() - len(starts) - sum(driver.lost())
        verdict.claim(
            unneeded <= 0,
            f"{runs.name}: run {number}: {unneeded} starts too many: {starts.most_common(3)}: {driver.said}",
        )
        left = driver.orphans()
        verdict.claim(not left, f"{runs.name}: run {number} leaves processes behind: {left}")
    for number, moment in enumerate(moments):
        later = {name for driver in drivers[number + 1 :] for name in driver.started()}
        for name in sorted(moment.saved & later & results.keys()):
            gone_on = results[name].resumed > 0
            verdict.claim(gone_on, f"{runs.name}: {name} had a checkpoint and was begun afresh")
