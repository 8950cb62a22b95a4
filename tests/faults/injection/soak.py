"""Runs hundreds of tiny trials in one run and samples the memory of its processes: the driver's must stay flat.

Costs `--count` trials of a few steps each.

`--count` trials at least: students of many seeds, each fine-tuned once. Flat: between the time when a fifth of them
was done and the end, the driver grew by less than `SLACK`.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.injection.tiny import SETTINGS, Driver, harness_run, recorded, write_spec
from tests.faults.injection.verdict import Verdict, command

SLACK = 16 * 2**20
"""Bytes that the driver may grow by: allocators do not return everything."""
EVERY = 0.5
"""Seconds between two samples."""


@dataclass(frozen=True)
class Sample:
    """Memory of a run's processes at one moment."""

    done: int
    """Trials that had ended."""
    driver: int
    """Resident bytes."""
    others: dict[str, int]
    """Kind of Ray process -> resident bytes of the largest of that kind in this run."""


def prove(folder: Path, count: int, seed: int) -> Verdict:
    """Run a plan of at least `count` trials; `seed` is the first student's."""
    verdict = Verdict("soak")
    spec = write_spec(
        folder,
        grid={**SETTINGS["grid"], "method": ["od"], "seed": list(range(seed, seed + count // 2))},
        prepare=None,
        distil={**SETTINGS["distil"], "steps": 2, "warmup_steps": 1},
        finetune={**SETTINGS["finetune"], "epochs": 1, "train_rows": 16},
        measure={"enabled": False},
    )
    runs = folder / "soak"
    run = harness_run(spec, runs)
    samples = _watch(run)
    verdict.claim(run.wait() == 0, f"ended with {run.process.returncode}: {run.said[-500:]}")
    results = recorded(runs)
    verdict.claim(len(results) >= count, f"{len(results)} trials left a result")
    verdict.claim(all(one.status == "ok" for one in results.values()), "a trial failed")
    early, late = _early(samples, len(results)), samples[-5:]
    at_work = [sample for sample in samples if "Worker" in sample.others] or samples
    grown = _driver(late) - _driver(early)
    verdict.claim(grown < SLACK, f"the driver grew by {grown / 2**20:.1f} MiB")
    verdict.figures = (
        f"{len(results)} trials, driver {_driver(early) / 2**20:.1f} MiB at a fifth, "
        f"{_driver(late) / 2**20:.1f} MiB at the end; {_others(early, at_work[-5:])}"
    )
    return verdict


def _watch(run: Driver) -> list[Sample]:
    samples = []
    while not run.has_ended:
        with suppress(psutil.NoSuchProcess):
            samples.append(_sample(run))
        time.sleep(EVERY)
    return samples


def _sample(run: Driver) -> Sample:
    others: dict[str, int] = defaultdict(int)
    for process in run.look():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            title = " ".join(process.cmdline())
            if title.startswith("ray::"):
                name = title.removeprefix("ray::").partition(".")[0].partition(" ")[0]
                others[name] = max(others[name], process.memory_info().rss)
    done = run.said.count(" done   ")
    return Sample(done, psutil.Process(run.process.pid).memory_info().rss, dict(others))


def _early(samples: list[Sample], trials: int) -> list[Sample]:
    """Samples from the time when about a fifth of the trials was done."""
    after = [sample for sample in samples if sample.done >= trials / 5]
    return after[:5] or samples[:1]


def _driver(samples: list[Sample]) -> float:
    return statistics.median(sample.driver for sample in samples)


def _others(early: list[Sample], late: list[Sample]) -> str:
    """Growth of the other processes, for the report; they end with their slots."""
    names = sorted(set(early[0].others) & set(late[0].others))
    parts = [
        f"{name} {early[0].others[name] / 2**20:.0f} to {late[0].others[name] / 2**20:.0f}" for name in names
    ]
    return "largest other processes, MiB: " + ", ".join(parts)


if __name__ == "__main__":
    command(prove, count=500)
