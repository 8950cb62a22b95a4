"""A small plan that uses every real component, and `harness run` on it in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness.records.folder import TrialFolder, trial_folders
from harness.records.result import Result
from harness.results.store import Store
from harness.results.verify import verify
from tests.trials.world import make_world, verb_task

PATIENCE = 1800.0
"""Time-out of a run, in seconds."""
SETTINGS: dict[str, Any] = {
    "schema": 1,
    "name": "tiny",
    "grid": {
        "method": ["scratch", "od", "hs-emd"],
        "student": [{"name": "2l-16", "layers": 2, "width": 16, "heads": 2, "ffn": 32}],
        "seed": [1, 2],
    },
    "prepare": {"steps": 150, "warmup_steps": 10, "learning_rate": 3e-3, "batch_size": 16, "length": 16},
    "distil": {"steps": 150, "warmup_steps": 10, "learning_rate": 5e-3, "batch_size": 8, "length": 16},
    "finetune": {
        "learning_rate": 3e-3, "epochs": 3, "batch_size": 16, "length": 24, "select_on": "dev",
    },
    "measure": {"batch_sizes": [1], "length": 16, "repeats": 5, "warmup": 1},
    "resources": {"prepare": {"cpus": 1}},
}  # fmt: skip
"""A prepared teacher, six students, a task, measurements: 17 trials of a few seconds at most."""


def write_spec(folder: Path, model_type: str = "bert", **changes: Any) -> Path:
    """Write a teacher of a family, a corpus and a task below `folder`, and the spec that names them; `changes`
    replace sections of `SETTINGS`."""
    world = make_world(folder / "world", model_type)
    task = verb_task(folder / "world" / "task").model_dump(mode="json", exclude_unset=True)
    corpus = world.corpus.model_dump(mode="json", exclude_unset=True)
    assets = {
        "teacher": world.teacher.model_dump(mode="json", exclude_unset=True),
        "corpus": {**corpus, "exclude": [task]},
        "tasks": [{"task": task}],
    }
    path = folder / "tiny.yaml"
    path.write_text(json.dumps({**SETTINGS, **assets, **changes}, indent=1), encoding="utf-8")  # JSON is YAML
    return path


@dataclass
class Driver:
    """One running `harness run`."""

    process: subprocess.Popen[bytes]
    log: Path
    family: dict[int, psutil.Process] = field(default_factory=dict)
    """Every descendant process seen so far, by id."""

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def started(self) -> list[str]:
        """Ids of the trials it started, once per start."""
        return re.findall(r"^\S+ start  ([0-9a-f]{16}) ", self.said, flags=re.MULTILINE)

    def lost(self) -> list[int]:
        """For each lost worker, the number of trials that were returned to the queue unfinished."""
        groups = re.findall(
            r"^\S+ [0-9a-f]{16} .*?(?: and (\d+) more)?: .*(?<!before it could begin); tried again$",
            self.said,
            flags=re.MULTILINE,
        )
        return [1 + int(more or 0) for more in groups]

    def look(self) -> list[psutil.Process]:
        """Its descendant processes now, which are added to `family`."""
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.process.pid).children(recursive=True)
            self.family |= {one.pid: one for one in below}
            return below
        return []

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Whether `condition` became true before the driver ended."""
        until = time.monotonic() + PATIENCE
        while not self.has_ended and time.monotonic() < until:
            self.look()
            if condition():
                return True
            time.sleep(0.05)
        return False

    def wait(self) -> int:
        """Its exit code; a run that times out is killed and gives -9."""
        self.wait_until(lambda: False)
        if not self.has_ended:
            self.kill()
        return self.process.wait()

    def kill(self) -> None:
        """`kill -9` of the driver alone."""
        self.look()
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def orphans(self, seconds: float = 60.0) -> list[str]:
        """Command lines of its descendants that outlive it by `seconds`."""
        _, alive = psutil.wait_procs(list(self.family.values()), timeout=seconds)
        left = []
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                left.append(" ".join(one.cmdline())[:100])
        return left


def harness_run(spec: Path, runs: Path, options: Sequence[str] = (), prefix: Sequence[str] = ()) -> Driver:
    """Start `harness run` with frequent checkpoints, so that there is one to resume from. `prefix`: a
    command that runs it."""
    (spec.parent / "logs").mkdir(exist_ok=True)
    log = spec.parent / "logs" / f"{runs.name}.{time.time_ns()}.log"
    command = [*prefix, sys.executable, "-m", "harness.cli", "run", str(spec), "--runs-dir", str(runs)]
    command += ["--checkpoint-seconds", "0.2", *options]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "HARNESS_OFFLINE": "1",
                "HARNESS_CACHE": str(spec.parent / "cache"),
            },
        )
    return Driver(process, log)


def recorded(runs: Path) -> dict[str, Result]:
    """Trial id -> result, below a runs directory."""
    results = {folder.path.name: folder.read_result() for folder in trial_folders(runs)}
    return {name: result for name, result in results.items() if result is not None}


def answers(runs: Path) -> dict[str, Any]:
    """Trial id -> what two runs must agree on bit for bit: weights and scores; of timings, only that they exist."""
    return {
        name: (result.status, result.weights_sha256, result.scores, result.dev_value)
        for name, result in recorded(runs).items()
    }


def stamps(runs: Path, trials: Sequence[str]) -> dict[str, int]:
    """Modification times of these trials' results, in nanoseconds."""
    return {name: (TrialFolder.of(runs, name).path / "result.json").stat().st_mtime_ns for name in trials}


def disagreements(runs: Path) -> list[str]:
    """What `harness verify` reports on a runs directory and its database."""
    return [str(finding) for finding in verify(runs, Store(runs / "results.duckdb"))]
