"""The backend that runs everything in this process, one job after another: for tests, for debugging, and for machines
where Ray cannot run."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import psutil

from harness.devices.cores import available_cores
from harness.errors import DeviceLostError, HarnessError
from harness.schedule.backend import BackendState
from harness.schedule.dispatch.dispatcher import Dispatcher, Order
from harness.schedule.dispatch.slot_shapes import Node, SlotShape
from harness.schedule.worker import RunJob, WorkerSetup, default_run_job, perform

if TYPE_CHECKING:
    from harness.attempts.site import Site


def this_machine(cpus: int | None = None, with_gpus: bool = False) -> Node:
    """This machine as a node, with `cpus` cores or all that may be used. GPUs are counted only on request: that imports
    torch."""
    cores = cpus or available_cores()
    gpus = 0
    if with_gpus:
        import torch

        gpus = torch.cuda.device_count()
    return Node("here", cores, gpus, memory=psutil.virtual_memory().total)


class LocalBackend:
    """Runs the dispatcher's jobs in one thread of this process."""

    def __init__(self, dispatcher: Dispatcher, setup: WorkerSetup) -> None:
        self._dispatcher, self._setup = dispatcher, setup
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="trials", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def poll(self) -> BackendState:
        """What happened since the last call. Raises HarnessError for an error outside the trials, which is a bug."""
        finished = not self._thread.is_alive()
        if isinstance(self._error, DeviceLostError):
            raise HarnessError(f"{self._error}; a further run goes on") from self._error
        if self._error is not None:
            raise HarnessError(f"the local backend broke: {self._error!r}") from self._error
        return BackendState(self._dispatcher.drain(), finished, self._dispatcher.trouble)

    def stop(self) -> None:
        """Let the running job save its state and end."""
        self._dispatcher.stop()

    def close(self) -> None:
        """Stop; a thread that does not end in time ends with the process."""
        self._dispatcher.stop()
        self._thread.join(timeout=0.1)

    def _run(self) -> None:
        try:
            place = self._setup.site(stop=lambda: self._dispatcher.stopping)
            run_job = self._setup.run_job or default_run_job()
            number = 0
            while not self._dispatcher.finished:
                number += 1
                slot = f"local-{number}"
                shape = self._dispatcher.request_slot(slot)
                if not isinstance(shape, SlotShape):
                    return
                self._run_slot(slot, shape, place, run_job)
        except BaseException as error:
            self._error = error

    def _run_slot(self, slot: str, shape: SlotShape, place: Site, run_job: RunJob) -> None:
        self._dispatcher.open_slot(slot, shape, node="here")
        while not isinstance(lease := self._dispatcher.lease(slot), Order):
            begin = partial(self._dispatcher.begin, slot, lease.number)
            self._dispatcher.settle(slot, perform(lease.trials, place, run_job, begin))
        self._dispatcher.close_slot(slot)
