"""Plans of trials that only write a result, and a driver that runs them as `harness run` does.

    python -m benchmarks.noop TRIALS RUNS_DIR ray    prints one line of JSON

Run in a process of its own, which like `harness run` imports no torch, so that its memory is a driver's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from harness.devices import provenance
from harness.plan import Plan, build_plan
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.records.trial import Trial
from harness.spec.resolve import load_spec

if TYPE_CHECKING:
    from harness.attempts.site import Site

SPEC = """\
schema: 1
name: nothing
teacher:
  name: tiny
  asset: {sources: [{path: teacher}], sha256: SHA}
  shape: {model_type: bert, layers: 4, width: 96, heads: 4, ffn: 384, vocabulary: 1000, mlm_head: true}
corpus:
  name: text
  texts: [{language: en, asset: {sources: [{path: text}], sha256: SHA}}]
grid:
  method: [od, hs-last, hs-uniform, hs-uniform-last, minilmv2, direct-minilm]
  student: [{name: s2, layers: 2, width: 48, heads: 4}]
  seed: [SEEDS]
distil: {steps: 10, warmup_steps: 1}
tasks:
  - task:
      name: pairs
      suite: S
      assets: {data: {sources: [{path: task}], sha256: SHA}}
      splits: {train: {files: train.jsonl}, dev: {files: dev.jsonl}, test: {files: test.jsonl}}
      columns: {text: a, label: y}
      format: jsonl
      labels: {no: 0, yes: 1}
      metrics: [accuracy]
finetune: {learning_rate: [1e-5, 1.5e-5, 2e-5, 3e-5, 4e-5], epochs: [3, 5, 10]}
measure: {enabled: false}
max_trials: 1000000
"""
PER_SEED = 6 * (1 + 5 * 3)
"""Trials per seed: six students, each with fifteen evaluations."""


def large_plan(folder: Path, trials: int) -> Plan:
    """At least `trials` trials, from a spec written to `folder`."""
    seeds = ", ".join(map(str, range(1, 2 + trials // PER_SEED)))
    path = folder / "nothing.yaml"
    path.write_text(SPEC.replace("SEEDS", seeds).replace("SHA", "ab" * 32), encoding="utf-8")
    return build_plan(load_spec(path), lambda asset: asset.sha256, "this machine")


def do_nothing(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Write a result."""
    return [_leave_result(trial, place.runs_dir) for trial in trials]


def _leave_result(trial: Trial, runs_dir: Path) -> Result:
    now = time.time()
    result = Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="ok",
        started_at=now,
        finished_at=now,
        seconds=0.0,
        provenance=provenance.collect(device="cpu", precision="fp32", threads=1),
    )
    folder = TrialFolder.of(runs_dir, trial.id)
    folder.write_trial(trial)
    folder.write_result(result)
    return result


@dataclass
class Figures:
    """Figures of one run."""

    trials: int
    seconds: float
    """From the first call to the last, including the start of Ray."""
    driver_cpu_seconds: float
    peak_bytes: int
    """Peak resident size of the driver's process."""
    quarters: list[float] = field(default_factory=list)
    """Seconds per trial in each quarter of the results, wall time."""
    start: float = 0.0
    """Seconds until the first result."""


def drive(trials: Sequence[Trial], runs_dir: Path, backend: str) -> Figures:
    """Run the trials with everything else that `harness run` does: database, live view, resume."""
    from harness.assets.sources import Sources
    from harness.cli.recording import Recorder, open_store
    from harness.results.store import Store
    from harness.schedule import Listener, Listeners, RunOptions, run_plan
    from harness.schedule.live_view import PlainLog

    ended: list[float] = []

    class Clock(Listener):
        def on_result(self, result: Result) -> None:
            ended.append(time.perf_counter())

    runs_dir.mkdir(parents=True, exist_ok=True)
    store = Store(runs_dir / "results.duckdb")
    with (runs_dir / "log.txt").open("w") as log:
        view = PlainLog(log)
        began, cpu = time.perf_counter(), time.process_time()
        open_store(store, trials, runs_dir)
        listener = Listeners(Recorder(store, runs_dir, view), view, Clock())
        options = RunOptions(backend="ray" if backend == "ray" else "local", run_job=do_nothing)
        summary = run_plan(trials, runs_dir, Sources(cache_dir=runs_dir / "cache"), options, listener)
        seconds = time.perf_counter() - began
    assert summary.done == len(trials), summary
    marks = [ended[round(share * (len(ended) - 1) / 4)] for share in range(5)]
    quarter = (len(ended) - 1) / 4
    return Figures(
        len(trials),
        seconds,
        time.process_time() - cpu,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        [(b - a) / quarter for a, b in pairwise(marks)],
        ended[0] - began,
    )


def main() -> None:
    """Plan, run, print."""
    count, folder, backend = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    trials = large_plan(folder, count).trials[:count]
    print(json.dumps(drive(trials, folder / "runs", backend).__dict__))


if __name__ == "__main__":
    # As a module of the package, so that workers find `do_nothing` by its name.
    from benchmarks import noop

    noop.main()
