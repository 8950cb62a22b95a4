"""The Ray backend: Ray Tune starts and packs worker slots; only the dispatcher knows the trials of the plan."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.schedule.backend import BackendState
from harness.schedule.dispatch.slot_shapes import Capacity, Node
from harness.schedule.dispatch.workload import Workload
from harness.schedule.ray.cluster import connected, measuring_order, nodes
from harness.schedule.worker import WorkerSetup

NODES_SECONDS = 10.0
"""Seconds between two looks at the machines of the cluster."""
LEAVE_SECONDS = 5.0
"""How long Tune is waited for before Ray is ended under it."""
MAX_TUNE_RUNS = 5
"""How often Tune is started at most; it may give up although trials are left."""


class RayBackend:
    """One run on a cluster that is joined, or on a Ray started for it on this machine."""

    def __init__(
        self,
        workload: Workload,
        capacity_of: Callable[[Sequence[Node]], Capacity],
        setup: WorkerSetup,
        *,
        address: str | None = None,
        cpus: int | None = None,
    ) -> None:
        """`capacity_of` raises InputError if some trial fits on none of the nodes."""
        self._workload, self._capacity_of, self._setup = workload, capacity_of, setup
        self._address, self._cpus = address, cpus
        self._open = ExitStack()
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._closing = threading.Event()
        self._tune: threading.Thread | None = None
        self._nodes_seen = 0.0
        self._complaint = ""

    def start(self) -> None:
        """Connect, and start Tune in a thread. The dispatcher runs on the driver's machine, so that the run survives the
        loss of any other."""
        self._ray = self._open.enter_context(connected(self._address, self._cpus))
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from harness.schedule.ray.slots import DispatcherActor

        living = nodes(self._ray)
        capacity = self._capacity_of(living)
        self._measuring = measuring_order(self._ray, living)
        own = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        actor = self._ray.remote(DispatcherActor).options(num_cpus=0, scheduling_strategy=own)
        self._dispatcher = actor.remote(self._workload, capacity, time.time)
        self._tune = threading.Thread(target=self._run, name="tune", daemon=True)
        self._tune.start()

    def poll(self) -> BackendState:
        """What happened since the last call. Raises HarnessError if Ray itself broke."""
        ended = self._ended.is_set()
        messages = self._update_capacity()
        try:
            events, finished, trouble = self._ray.get(self._dispatcher.poll.remote())
        except self._ray.exceptions.RayError as error:
            raise HarnessError(f"Ray lost the dispatcher: {_brief(error)}; a further run goes on") from error
        if ended and not finished:
            reason = _brief(self._error) if self._error else "no reason given"
            raise HarnessError(f"Ray Tune gave up: {reason}; a further run goes on") from self._error
        return BackendState(events, ended, trouble, messages)

    def stop(self) -> None:
        """Hand out no more jobs; running trials save their state and end."""
        self._dispatcher.stop.remote()

    def close(self) -> None:
        """Leave the cluster, which ends this run's processes, or end the Ray that was started for it."""
        self._closing.set()
        if self._tune is not None:
            self._tune.join(LEAVE_SECONDS)
        self._open.close()
        shutil.rmtree(self._tune_dir, ignore_errors=True)

    @property
    def _tune_dir(self) -> Path:
        return self._setup.runs_dir / ".tune"

    def _update_capacity(self) -> tuple[str, ...]:
        """Report the machines of the cluster to the dispatcher; returns lines for the user."""
        if time.monotonic() - self._nodes_seen < NODES_SECONDS:
            return ()
        self._nodes_seen = time.monotonic()
        try:
            capacity = self._capacity_of(nodes(self._ray))
        except InputError as error:
            new = str(error) != self._complaint
            self._complaint = str(error)
            return (f"waiting for machines: {error}",) if new else ()
        self._complaint = ""
        self._dispatcher.set_capacity.remote(capacity)
        return ()

    def _run(self) -> None:
        try:
            for _ in range(MAX_TUNE_RUNS):
                try:
                    self._run_tune()
                except (
                    self._ray.exceptions.RayError
                ) as error:  # e.g. a cluster's memory monitor killed a slot
                    self._error = error
                self._ray.get(self._dispatcher.close_all.remote())
                if self._ray.get(self._dispatcher.is_finished.remote()):
                    return
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def _run_tune(self) -> None:
        from ray import tune

        from harness.schedule.ray.slots import LeaveOnClose, Slot, SlotSearcher, resources_of

        slot = tune.with_parameters(Slot, dispatcher=self._dispatcher, worker_setup=self._setup)
        tuner = tune.Tuner(
            tune.with_resources(slot, partial(resources_of, measuring=self._measuring)),
            tune_config=tune.TuneConfig(
                search_alg=SlotSearcher(self._dispatcher), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="slots",
                storage_path=str(self._tune_dir),
                verbose=0,
                callbacks=[LeaveOnClose(self._closing)],
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _brief(error: BaseException) -> str:
    """An error as one line; Ray's contain whole logs."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
