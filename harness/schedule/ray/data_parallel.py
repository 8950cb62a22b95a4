"""A worker slot of several processes: Ray Train places and starts them and makes them a process group.

The first leads. It leases jobs and runs them as any worker does; the others take their part in each
(`harness.trials.run.follow`). Ray Train holds the resources, so the slot is open, and its shape no longer waits
for a place, once its workers have started. They stay warm from job to job like those of any slot.
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
from harness.schedule.dispatch.slot_shapes import Shape
from harness.schedule.ray.slots import STOP_CHECK_SECONDS, ask, asking, serve
from harness.schedule.worker import Site, default_work, perform


def run_workers(dispatcher: Any, slot_id: str, shape: Shape, site: Site) -> str:
    """Run a slot to its end. Returns why its workers died, nothing where they left in good order."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # assets may be named by relative paths
    trainer = TorchTrainer(
        _work,
        train_loop_config={"dispatcher": dispatcher, "slot_id": slot_id, "shape": shape, "site": site},
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if shape.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=shape.workers,
            use_gpu=shape.gpus > 0,
            resources_per_worker={"CPU": shape.cpus, "GPU": shape.gpus},
        ),
        run_config=RunConfig(
            name=slot_id,
            storage_path=str(site.runs_dir / ".tune"),
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    # Not in the main thread, where Ray Train would make Ctrl-C its own.
    with ThreadPoolExecutor(1) as thread:
        try:
            thread.submit(trainer.fit).result()
        except TrainingFailedError as error:
            return f"one of its {shape.workers} workers died: {_brief(error)}"
    return ""


def _work(config: dict[str, Any]) -> None:
    """The life of one worker."""
    from harness.training.process_group import ProcessGroup
    from harness.trials.run import follow

    dispatcher, slot_id = config["dispatcher"], config["slot_id"]
    shape, site = config["shape"], config["site"]
    workers = ProcessGroup()
    stop: Callable[[], bool] = _StopAsker(dispatcher) if workers.leads else lambda: False
    place = replace(site.workplace(stop), workers=workers, device="cuda" if shape.gpus else "cpu")
    if not workers.leads:
        follow(place)
        return
    work = site.work or default_work()

    def do(lease: Lease) -> None:
        results = perform(lease.trials, place, work, asking(dispatcher, slot_id, lease))
        ask(dispatcher, "settle", slot_id, results)

    serve(dispatcher, slot_id, shape, do)
    workers.call(None)


class _StopAsker:
    """Whether the dispatcher wants the work to end; asked now and then, since asking takes a millisecond."""

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
    """The first line that says what happened; Ray's errors carry whole logs."""
    failures = getattr(error, "worker_failures", {})
    text = "; ".join(f"worker {rank}: {failure}" for rank, failure in sorted(failures.items())) or str(error)
    return " ".join(text.split())[:300]
