"""Worker slots on Ray: a Tune trial that holds the resources of one shape and leases jobs until none of that shape is left.

A slot is two processes. The Tune trial itself is small and only calls the dispatcher; an actor beside it runs the jobs
and stays warm between them. When the actor dies (killed, out of memory), the slot hands its trials back and goes on
with a new actor, and Tune does not notice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.search import Searcher
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from harness.errors import DeviceLostError
from harness.records.result import Failure, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import Dispatcher, Lease, Order
from harness.schedule.dispatch.slot_shapes import Node, SlotShape
from harness.schedule.ray.leasing import STOP_CHECK_SECONDS, ask, begin_by, lease_jobs
from harness.schedule.worker import WorkerSetup, answer, default_run_job, perform


class DispatcherActor(Dispatcher):
    """The dispatcher in a process of its own. Ray calls methods but reads no properties, hence these."""

    def is_stopping(self) -> bool:
        """See `Dispatcher.stopping`."""
        return self.stopping

    def close_all(self) -> None:
        """Close every slot, after Tune has ended."""
        for slot_id in list(self._slots):
            self.close_slot(slot_id)

    def is_finished(self) -> bool:
        """See `Dispatcher.finished`."""
        return self.finished

    def poll(self) -> tuple[list[Any], bool, str]:
        """(events since the last call, whether the run is finished, why it cannot go on)."""
        return self.drain(), self.finished, self.trouble


class LostDevice(Exception):  # noqa: N818 - Ray passes on exceptions alone
    """A `DeviceLostError` on its way from a worker to its slot, which ends the worker."""


class Worker:
    """Runs jobs. Torch and the model code are imported once, before the first job."""

    def __init__(self, setup: WorkerSetup, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._stopping = threading.Event()
        self._run_job = setup.run_job or default_run_job()
        self._place = setup.site(stop=self._stopping.is_set)

    def perform(self, slot_id: str, lease: Lease) -> list[Result]:
        """Run one job. Raises LostDevice where this worker can run no further one."""
        try:
            return perform(
                lease.trials, self._place, self._run_job, begin_by(self._dispatcher, slot_id, lease)
            )
        except DeviceLostError as error:
            raise LostDevice(str(error)) from None

    def stop(self) -> None:
        """Called during `perform`, which then ends after its current step."""
        self._stopping.set()


class Slot(tune.Trainable):
    """A Tune trial whose single step is the slot's whole life: lease jobs until none is left, then free the resources."""

    def setup(
        self, config: dict[str, Any], dispatcher: Any = None, worker_setup: WorkerSetup | None = None
    ) -> None:
        """The worker starts with the first job."""
        self._dispatcher, self._worker_setup = dispatcher, worker_setup
        self._worker: Any = None
        self._oom_kills = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Let a later slot of the same shape take over this process and its warm worker."""
        return True

    def step(self) -> dict[str, Any]:
        """Lease and run jobs until the dispatcher says to leave."""
        shape = SlotShape(**self.config)
        if shape.workers > 1:
            self._run_together(shape)
        else:
            lease_jobs(self._dispatcher, self.trial_id, shape, partial(self._run, shape))
        return {"done": True}

    def _run_together(self, shape: SlotShape) -> None:
        """The slot's life in several processes. If one of them dies, all do, and their job goes back to the queue."""
        from harness.schedule.ray.data_parallel import run_workers

        assert self._worker_setup is not None
        reason = run_workers(self._dispatcher, self.trial_id, shape, self._worker_setup)
        self._ask("close_slot", self.trial_id, reason)

    def cleanup(self) -> None:
        """End the worker, since the slot frees its resources."""
        if self._worker is not None:
            ray.kill(self._worker)

    def _ask(self, method: str, *arguments: Any) -> Any:
        return ask(self._dispatcher, method, *arguments)

    def _run(self, shape: SlotShape, lease: Lease) -> None:
        if self._worker is None:
            self._worker = _start_worker(shape, self._worker_setup, self._dispatcher)
        self._oom_kills = oom_kills()
        job = self._worker.perform.remote(self.trial_id, lease)
        stop_sent = False
        while not ray.wait([job], timeout=STOP_CHECK_SECONDS)[0]:
            if not stop_sent and self._ask("is_stopping"):
                self._worker.stop.remote()
                stop_sent = True
        try:
            results = ray.get(job)
        except RayError as error:
            self._worker_died(lease.trials, error)
        else:
            self._ask("settle", self.trial_id, results)

    def _worker_died(self, trials: tuple[Trial, ...], error: RayError) -> None:
        assert self._worker_setup is not None
        ray.kill(self._worker)
        self._worker = None
        recorded = [answer(self._worker_setup.runs_dir, trial) for trial in trials]
        self._ask(
            "lose", self.trial_id, self._failure_of_death(error), [result for result in recorded if result]
        )

    def _failure_of_death(self, error: RayError) -> Failure:
        """Why the worker died, from Ray's message and the kernel's count of OOM kills."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, LostDevice):
            return Failure(reason="killed", message=f"its worker was ended, since {cause}")
        text = " ".join(str(error).split())
        if "running low on memory" in text or oom_kills() > self._oom_kills:
            advice = "lower batch_size, or the number of trials at once with resources.KIND.concurrency"
            message = f"its worker was killed because the machine ran out of memory; {advice}"
            return Failure(reason="out_of_memory", message=message)
        _, _, detail = text.partition("Worker exit detail: ")
        detail, _, _ = detail.partition(" Some common causes")
        ending = f": {detail[:200].rstrip('.')}" if detail else ""
        return Failure(reason="killed", message=f"its worker process died{ending}")


def _start_worker(shape: SlotShape, setup: WorkerSetup | None, dispatcher: Any) -> Any:
    """Start a worker on this slot's resources. The slot restarts it, not Ray."""
    group = get_current_placement_group()
    assert group is not None, "a slot runs in the placement group that Tune creates for it"
    placed = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    options = {
        "num_cpus": shape.cpus,
        "num_gpus": shape.gpus,
        "max_restarts": 0,
        "max_concurrency": 2,
        "scheduling_strategy": placed,
    }
    return ray.remote(Worker).options(**options).remote(setup, dispatcher)


def oom_kills() -> int:
    """How many processes this machine's kernel has killed to free memory since boot; 0 if it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


class SlotSearcher(Searcher):
    """What Tune asks for further trials: it returns the slots for which the dispatcher has work."""

    def __init__(self, dispatcher: Any) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any
    ) -> bool:
        """Accept any: nothing is searched for."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The shape of one more slot, None if none is needed now, or FINISHED."""
        shape = ray.get(self._dispatcher.request_slot.remote(trial_id))
        if shape is Order.LEAVE:
            return str(Searcher.FINISHED)
        if shape is Order.WAIT:
            return None
        return asdict(shape)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Close the slot; if it died, its trials go back to the queue."""
        ray.get(
            self._dispatcher.close_slot.remote(
                trial_id, "its worker slot died, or its machine" if error else ""
            )
        )

    def save(self, checkpoint_path: str) -> None:
        """No-op: the runs directory is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """No-op: the runs directory is the state."""


class LeaveOnClose(tune.Callback):
    """Ends Tune's loop, wherever it is, once the run is being closed: what asks Ray for anything after its end ends the
    process with an exit code of Ray's own."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Asked ten times a second."""
        if self._closing.is_set():
            raise SystemExit

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """What Tune saves of it: nothing, since a run that goes on makes its own."""
        return tune.Callback, ()


def resources_of(config: dict[str, Any], measuring: Sequence[Node]) -> tune.PlacementGroupFactory:
    """What a slot of this shape holds: nothing for the Tune trial, everything for its worker, and a whole node if it
    is exclusive, the first of `measuring` that is large enough. Where that is nothing, or where Ray Train holds it for
    several workers, the slot holds one byte, since Tune refuses none."""
    if config["workers"] > 1 or not config["cpus"]:
        return tune.PlacementGroupFactory([{}, {"memory": 1}])
    if config["exclusive"]:
        node = next(node for node in measuring if node.slots(SlotShape(**config)))
        whole = {"CPU": node.cpus, "GPU": node.gpus, f"node:{node.address}": 0.001}
        return tune.PlacementGroupFactory([{}, whole])
    return tune.PlacementGroupFactory([{}, {"CPU": config["cpus"], "GPU": config["gpus"]}])
