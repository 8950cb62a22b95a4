"""A shipped spec from a fresh clone to its ranking, by the clock: `quickstart` or `multilingual`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import Conditions, main
from benchmarks.rows import Row
from harness.devices.cores import available_cores
from harness.devices.quick_peak import quick_peak
from harness.records.folder import trial_folders

HERE = Path(__file__).resolve().parent.parent
SPECS = ("quickstart", "multilingual")
TARGETS = {"quickstart": 8.0}
"""Minutes from YAML to ranking."""
FAR_OFF = 1.5
"""Factor by which the estimate of a first run may be wrong."""
SHORT = ("--set", "distil.steps=2", "--set", "distil.warmup_steps=1", "--set", "prepare.steps=2", "--set",
         "prepare.warmup_steps=1", "--set", "finetune.train_rows=64", "--set", "finetune.eval_rows=64")  # fmt: skip
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0}


@dataclass(frozen=True)
class Output:
    """What a command took and said."""

    seconds: float
    out: str
    err: str


def run(conditions: Conditions) -> Iterator[Row]:
    """Clone, install, `harness run` into an empty folder, `harness report`, all with empty caches; then run again, when
    all is done. A smoke test leaves out cloning and installing, and shortens the spec."""
    peak = quick_peak(available_cores())
    folder, spec = conditions.folder, conditions.spec
    runs = folder / "runs"
    environment = _without_caches(folder)
    installed = 0.0
    harness = [sys.executable, "-m", "harness.cli"]
    checkout = HERE
    if not conditions.quick:
        checkout = folder / "clone"
        installed = _call(["git", "clone", "--quiet", str(HERE), str(checkout)], HERE, environment).seconds
        installed += _call(["make", "setup"], checkout, environment).seconds
        harness = [str(checkout / ".venv/bin/harness")]
    where = ["--runs-dir", str(runs)]
    asked = [*harness, "run", spec, *where, *(SHORT if conditions.quick else ())]
    first = _call(asked, checkout, environment)
    report = _call([*harness, "report", *where], checkout, environment)
    again = _call(asked, checkout, environment)
    machine = f"matmul peak {peak / 1e9:.0f} GFLOP/s on each of {available_cores()} cores at once"
    yield Row(
        f"{spec} from YAML to ranking, with empty caches",
        (first.seconds + report.seconds) / 60,
        unit="min",
        target=TARGETS.get(spec),
        sense="at most",
        sides={
            "clone and install": installed,
            "run": first.seconds,
            "report": report.seconds,
            "run again": again.seconds,
        },
        side_unit="s",
        note=machine,
    )
    kinds = core_seconds(runs)
    yield Row(
        f"{spec}: core seconds of its trials",
        sum(kinds.values()),
        unit="s",
        sides=kinds,
        side_unit="s",
        note=machine,
    )
    estimate = printed_estimate(first.err)
    yield Row(
        f"{spec}: factor between the estimate printed first and what the run took",
        max(estimate / first.seconds, first.seconds / estimate),
        target=FAR_OFF,
        sense="at most",
        sides={"estimate": estimate, "run": first.seconds},
        side_unit="s",
        note=hindsight(first.err),
    )
    said = statements(report.out)
    yield Row(f"{spec}: statements of its report", float(len(said)), unit="", note=" ".join(said))


def core_seconds(runs: Path) -> dict[str, float]:
    """Kind -> seconds of its trials times the cores that they had."""
    kinds: defaultdict[str, float] = defaultdict(float)
    for folder in trial_folders(runs):
        trial, result = folder.read_trial(), folder.read_result()
        if trial is not None and result is not None:
            kinds[trial.kind] += result.seconds * trial.resources.cpus
    return dict(kinds)


def printed_estimate(said: str) -> float:
    """Seconds of the first `about 7.1 min on 2 cores` among what a run printed."""
    found = re.search(r"about ([\d.]+) (\w+) on ", said)
    if found is None:
        raise RuntimeError(f"no estimate among what the run printed: {said[:500]}")
    return float(found[1]) * UNITS[found[2]]


def hindsight(said: str) -> str:
    """What a run says of its estimate when it has ended."""
    return next((line for line in said.splitlines() if "by the clock" in line), "")


def statements(report: str) -> list[str]:
    """The sentences of a report, without its tables and notes."""
    return [line for line in report.splitlines() if re.fullmatch(r"[A-Z](?!.*  ).*\.", line)]


def _without_caches(folder: Path) -> dict[str, str]:
    """The environment with the caches of the harness and of installers in an empty folder, so that all is fetched: a
    benchmark is otherwise offline (`benchmarks.conditions`)."""
    named = ("HARNESS_CACHE", "PIP_CACHE_DIR", "UV_CACHE_DIR")
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    return kept | {name: str(folder / "caches" / name.lower()) for name in named}


def _call(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Output:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=dict(environment))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return Output(time.perf_counter() - began, done.stdout, done.stderr)


if __name__ == "__main__":
    main("quickstart", run, specs=SPECS)
