"""Worker slots on Ray: a Tune trial holds the resources of one shape and leases trials until none of it is to
come.

A slot is two processes. The Tune trial itself is small and only talks; the work is done by an actor of its
own beside it, which stays warm from job to job. When that one dies (killed, out of memory) the slot hands its
trials back and goes on with a new one, and Tune notices nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.search import Searcher
from ray.util import get_node_ip_address
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from harness.records.result import Failure, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import Dispatcher, Lease, Order
from harness.schedule.dispatch.slot_shapes import Node, Shape
from harness.schedule.worker import Begin, Site, default_work, ended_well, perform

STOP_CHECK_SECONDS = 0.5
WAIT_SECONDS = 0.2


class DispatcherActor(Dispatcher):
    """The dispatcher in a process of its own. Remote calls are calls of methods, hence these."""

    def is_stopping(self) -> bool:
        """Whether work under way should end."""
        return self.stopping

    def close_all(self) -> None:
        """Tune ended and its slots with it."""
        for slot_id in list(self._slots):
            self.close_slot(slot_id)

    def is_finished(self) -> bool:
        """Whether all is over."""
        return self.finished

    def poll(self) -> tuple[list[Any], bool, str]:
        """Events since the last call, whether all is over, and why where it is not well."""
        return self.drain(), self.finished, self.trouble


def ask(dispatcher: Any, method: str, *arguments: Any) -> Any:
    """The dispatcher's answer."""
    return ray.get(getattr(dispatcher, method).remote(*arguments))


def serve(dispatcher: Any, slot_id: str, shape: Shape, do: Callable[[Lease], None]) -> None:
    """The life of a slot that holds its resources: lease jobs and `do` them until told to leave."""
    ask(dispatcher, "open_slot", slot_id, shape, get_node_ip_address())
    while (lease := ask(dispatcher, "lease", slot_id)) is not Order.LEAVE:
        if lease is Order.WAIT:
            time.sleep(WAIT_SECONDS)
        else:
            do(lease)
    ask(dispatcher, "close_slot", slot_id)


def asking(dispatcher: Any, slot_id: str, lease: Lease) -> Begin:
    """How a worker begins: it is the one that asks and not its slot, which may hand a job to a worker that is
    dead already. That one has started nothing."""

    def begin(trials: Sequence[Trial]) -> bool:
        return bool(ask(dispatcher, "begin", slot_id, lease.number, trials))

    return begin


class Worker:
    """Does the work. Torch and the model code are imported once, before the first job."""

    def __init__(self, site: Site, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._stopping = threading.Event()
        self._work = site.work or default_work()
        self._place = site.workplace(stop=self._stopping.is_set)

    def perform(self, slot_id: str, lease: Lease) -> list[Result]:
        """Run one job."""
        return perform(lease.trials, self._place, self._work, asking(self._dispatcher, slot_id, lease))

    def stop(self) -> None:
        """Called beside `perform`: it ends after its present step."""
        self._stopping.set()


class Slot(tune.Trainable):
    """One step is the slot's whole life: it leases jobs until there is nothing for it, then gives its
    resources back."""

    def setup(self, config: dict[str, Any], dispatcher: Any = None, site: Site | None = None) -> None:
        """Remember whom to ask; the worker starts with the first job."""
        self._dispatcher, self._site = dispatcher, site
        self._worker: Any = None
        self._oom_kills = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """A slot of the same shape may take over this process, its warm worker included."""
        return True

    def step(self) -> dict[str, Any]:
        """Lease and work until told to leave."""
        shape = Shape(**self.config)
        if shape.workers > 1:
            self._work_together(shape)
        else:
            serve(self._dispatcher, self.trial_id, shape, partial(self._do, shape))
        return {"done": True}

    def _work_together(self, shape: Shape) -> None:
        """The slot's life in several processes. Where one of them dies all do, and what they held goes back."""
        from harness.schedule.ray.data_parallel import run_workers

        assert self._site is not None
        reason = run_workers(self._dispatcher, self.trial_id, shape, self._site)
        self._ask("close_slot", self.trial_id, reason)

    def cleanup(self) -> None:
        """The slot's resources go back, so its worker ends."""
        if self._worker is not None:
            ray.kill(self._worker)

    def _ask(self, method: str, *arguments: Any) -> Any:
        return ask(self._dispatcher, method, *arguments)

    def _do(self, shape: Shape, lease: Lease) -> None:
        if self._worker is None:
            self._worker = _hire_worker(shape, self._site, self._dispatcher)
        self._oom_kills = oom_kills()
        job = self._worker.perform.remote(self.trial_id, lease)
        told = False
        while not ray.wait([job], timeout=STOP_CHECK_SECONDS)[0]:
            if not told and self._ask("is_stopping"):
                self._worker.stop.remote()
                told = True
        try:
            results = ray.get(job)
        except RayError as error:
            self._worker_died(lease.trials, error)
        else:
            self._ask("settle", self.trial_id, results)

    def _worker_died(self, trials: tuple[Trial, ...], error: RayError) -> None:
        assert self._site is not None
        ray.kill(self._worker)
        self._worker = None
        recorded = [ended_well(self._site.runs_dir, trial.id) for trial in trials]
        self._ask(
            "lose", self.trial_id, self._failure_of_death(error), [result for result in recorded if result]
        )

    def _failure_of_death(self, error: RayError) -> Failure:
        """Why the worker died, as far as Ray and the kernel tell."""
        text = " ".join(str(error).split())
        if "running low on memory" in text or oom_kills() > self._oom_kills:
            advice = "lower batch_size, or the number of trials at once with resources.KIND.concurrency"
            message = f"its worker was killed because the machine ran out of memory; {advice}"
            return Failure(reason="out_of_memory", message=message)
        _, _, detail = text.partition("Worker exit detail: ")
        detail, _, _ = detail.partition(" Some common causes")
        ending = f": {detail[:200].rstrip('.')}" if detail else ""
        return Failure(reason="killed", message=f"its worker process died{ending}")


def _hire_worker(shape: Shape, site: Site | None, dispatcher: Any) -> Any:
    """A worker on this slot's resources; Ray does not restart it, the slot does."""
    group = get_current_placement_group()
    assert group is not None, "a slot runs in the placement group that Tune made for it"
    placed = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    options = {
        "num_cpus": shape.cpus,
        "num_gpus": shape.gpus,
        "max_restarts": 0,
        "max_concurrency": 2,
        "scheduling_strategy": placed,
    }
    return ray.remote(Worker).options(**options).remote(site, dispatcher)


def oom_kills() -> int:
    """How many processes this machine's kernel has killed for want of memory since it started; 0 where it
    does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


class SlotSearcher(Searcher):
    """Tune asks it for more trials; it answers with the slots that the dispatcher would have work for."""

    def __init__(self, dispatcher: Any) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any
    ) -> bool:
        """There is nothing to search for."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The shape of a further slot; None for none now; FINISHED."""
        shape = ray.get(self._dispatcher.hire.remote(trial_id))
        if shape is Order.LEAVE:
            return str(Searcher.FINISHED)
        if shape is Order.WAIT:
            return None
        return asdict(shape)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A slot ended. One that died with its node has left its trials to others."""
        ray.get(
            self._dispatcher.close_slot.remote(
                trial_id, "its worker slot died, or its machine" if error else ""
            )
        )

    def save(self, checkpoint_path: str) -> None:
        """The runs directory is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """The runs directory is the state."""


def resources_of(config: dict[str, Any], measuring: Node) -> tune.PlacementGroupFactory:
    """What a slot of this shape holds: nothing for the Tune trial, all for its worker; an exclusive one the
    whole node. Ray Train holds what several workers need; Tune wants a slot to hold something."""
    if config["workers"] > 1:
        return tune.PlacementGroupFactory([{}, {"memory": 1}])
    if config["exclusive"]:
        whole = {"CPU": measuring.cpus, "GPU": measuring.gpus, f"node:{measuring.address}": 0.001}
        return tune.PlacementGroupFactory([{}, whole])
    return tune.PlacementGroupFactory([{}, {"CPU": config["cpus"], "GPU": config["gpus"]}])
