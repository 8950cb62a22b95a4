"""What an undisturbed run of the tiny plan gives, and whether a disturbed one came to the same in the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.tiny import answers, disagreements, harness_run, recorded, stamps, write_spec
from benchmarks.faults.verdict import Verdict
from harness.folders import trial_folders
from harness.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Reference:
    """An undisturbed run."""

    spec: Path
    answers: dict[str, Any]
    seconds: float
    """From the first trial's start to the end."""
    options: tuple[str, ...]
    """Of `harness run`, for the disturbed runs too."""


@dataclass(frozen=True)
class Moment:
    """What was on disk at one moment."""

    done: dict[str, int]
    """Trials that had ended well -> when."""
    saved: frozenset[str]
    """Trials under way that had a checkpoint."""

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
    """Write the plan below `folder` (`changes` as of `write_spec`) and run it once to its end; `options` and
    `prefix` as of `harness_run`."""
    spec = write_spec(folder, **changes)
    driver = harness_run(spec, folder / "undisturbed", options, prefix)
    if not driver.wait_until(lambda: bool(driver.started())):
        raise RuntimeError(f"the undisturbed run did not start:\n{driver.said}")
    began = time.monotonic()
    if driver.wait() != 0:
        raise RuntimeError(f"the undisturbed run failed:\n{driver.said}")
    seconds = time.monotonic() - began
    return Reference(spec, answers(folder / "undisturbed"), seconds, tuple(options))


def check(verdict: Verdict, runs: Path, reference: Reference, moment: Moment) -> None:
    """Every trial has the undisturbed answer, none that had ended at `moment` was run again, and nothing in
    the folders or the database disagrees."""
    found = answers(runs)
    for name, expected in reference.answers.items():
        given = found.get(name)
        verdict.claim(given == expected, f"{runs.name}: {name} is {given}, undisturbed {expected}")
    same = stamps(runs, list(moment.done)) == moment.done
    verdict.claim(same, f"{runs.name}: a trial that had ended was run again")
    wrong = disagreements(runs)
    verdict.claim(not wrong, f"{runs.name}: harness verify: {wrong[:3]}")
