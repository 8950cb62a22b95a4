"""Overhead of a trial: 40 and 10,000 trials that do nothing, on Ray, with the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.conditions import Conditions, main
from benchmarks.memory import GIB
from benchmarks.noop import Figures
from benchmarks.rows import Row

FEW, MANY = 40, 10_000


def run(conditions: Conditions) -> Iterator[Row]:
    """Seconds a trial, memory and processor time of the driver."""
    few = _drive(conditions, FEW)
    yield Row(
        f"{FEW} trivial trials: seconds each, starting Ray included",
        few.seconds / FEW,
        unit="s",
        target=0.5,
        sense="at most",
        sides={"whole run": few.seconds, "until the first result": few.start},
        side_unit="s",
    )
    yield _memory(few)
    if conditions.quick:
        return
    many = _drive(conditions, MANY)
    quarters = [1000 * seconds for seconds in many.quarters]
    yield Row(
        f"{MANY:,} trivial trials: time of one",
        1000 * (many.seconds - many.start) / MANY,
        unit="ms",
        target=20.0,
        sense="at most",
        sides={f"quarter {number}": value for number, value in enumerate(quarters, 1)}
        | {"driver's processor time": 1000 * many.driver_cpu_seconds / MANY},
    )
    yield Row(
        f"{MANY:,} trivial trials: time of one in the last quarter over the first",
        quarters[-1] / quarters[0],
        target=1.25,
        sense="at most",
        note="flat: no more than a quarter slower",
    )
    yield _memory(many)


def _memory(figures: Figures) -> Row:
    return Row(
        f"{figures.trials:,} trivial trials: peak memory of the driver",
        figures.peak_bytes / GIB,
        unit="GiB",
        target=1.0,
        sense="at most",
    )


def _drive(conditions: Conditions, trials: int) -> Figures:
    folder = conditions.folder / f"noop-{trials}"
    command = [sys.executable, "-m", "benchmarks.noop", str(trials), str(folder), "ray"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main("orchestration", run)
