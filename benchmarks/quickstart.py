"""`make quickstart` from a YAML file to a ranking, by the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.conditions import Conditions, main
from benchmarks.rows import Row

SPEC = "specs/quickstart.yaml"
SHORT = ("--set", "distil.steps=2", "--set", "distil.warmup_steps=1", "--set", "prepare.steps=2", "--set",
         "prepare.warmup_steps=1", "--set", "finetune.train_rows=64")  # fmt: skip


def run(conditions: Conditions) -> Iterator[Row]:
    """`harness run` into an empty folder; again, when all is done; `harness report`."""
    runs = conditions.folder / "runs"
    harness = [sys.executable, "-m", "harness.cli"]
    spec = [SPEC, "--runs-dir", str(runs), *(SHORT if conditions.quick else ())]
    first = _seconds([*harness, "run", *spec])
    again = _seconds([*harness, "run", *spec])
    report = _seconds([*harness, "report", "--runs-dir", str(runs)])
    yield Row(
        "make quickstart, everything installed and fetched",
        (first + report) / 60,
        unit="min",
        target=8.0,
        sense="at most",
        sides={"run": first, "report": report, "run again": again},
        side_unit="s",
        note="cached token blocks and inputs of an earlier run are used where there are any",
    )


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main("quickstart", run)
