"""A worker slot of several processes, which Ray Train starts as one process group.

Worker 0 leads: it leases jobs and runs them like the worker of any slot; the others follow it
(`harness.trials.run.follow`). Ray Train holds the resources, so the slot opens when its workers have started. They
stay warm between jobs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from harness.schedule.dispatch.dispatcher import Lease
from harness.schedule.dispatch.slot_shapes import SlotShape
from harness.schedule.ray.leasing import STOP_CHECK_SECONDS, ask, begin_by, lease_jobs
from harness.schedule.worker import WorkerSetup, default_run_job, perform


def run_workers(dispatcher: Any, slot_id: str, shape: SlotShape, setup: WorkerSetup) -> str:
    """Run a slot to its end. Returns why its workers died; empty if they did not."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # assets may be named by relative paths
    trainer = TorchTrainer(
        _work,
        train_loop_config={"dispatcher": dispatcher, "slot_id": slot_id, "shape": shape, "setup": setup},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if shape.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=shape.workers,
            use_gpu=shape.gpus > 0,
            resources_per_worker={"CPU": shape.cpus, "GPU": shape.gpus},
        ),
        run_config=RunConfig(
            name=slot_id,
            storage_path=str(setup.runs_dir / ".tune"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    # In another thread: in the main thread Ray Train would install its own handler of Ctrl-C.
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(trainer.fit).result()
        except TrainingFailedError as error:
            return f"one of its {shape.workers} workers died: {_brief(error)}"
    return ""


def _work(config: dict[str, Any]) -> None:
    """What each worker runs."""
    from harness.attempts.process_group import ProcessGroup
    from harness.trials.run import follow

    dispatcher, slot_id = config["dispatcher"], config["slot_id"]
    shape, setup = config["shape"], config["setup"]
    workers = ProcessGroup()
    stop: Callable[[], bool] = _StopAsker(dispatcher) if workers.leads else lambda: False
    place = replace(setup.site(stop), workers=workers, device="cuda" if shape.gpus else "cpu")
    if not workers.leads:
        follow(place)
        return
    run_job = setup.run_job or default_run_job()

    def run(lease: Lease) -> None:
        results = perform(lease.trials, place, run_job, begin_by(dispatcher, slot_id, lease))
        ask(dispatcher, "settle", slot_id, results)

    lease_jobs(dispatcher, slot_id, shape, run)
    workers.call(None)


class _StopAsker:
    """Whether the run is stopping. Asks the dispatcher at intervals, since each call takes a millisecond."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._stopping = False
        self._next = 0.0

    def __call__(self) -> bool:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + STOP_CHECK_SECONDS
            self._stopping = bool(ask(self._dispatcher, "is_stopping"))
        return self._stopping


def _brief(error: TrainingFailedError) -> str:
    """What happened, in at most 300 characters; Ray's errors contain whole logs."""
    failures = getattr(error, "worker_failures", {})
    text = "; ".join(f"worker {rank}: {failure}" for rank, failure in sorted(failures.items())) or str(error)
    return " ".join(text.split())[:300]
