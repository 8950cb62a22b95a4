"""Everything in this process, one job after another: for tests, debugging and machines where Ray cannot
run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psutil

from harness.errors import HarnessError
from harness.schedule.dispatch.dispatcher import Dispatcher, Order
from harness.schedule.dispatch.events import Event
from harness.schedule.dispatch.slot_shapes import Node, Shape
from harness.schedule.worker import Site, Work, default_work, perform

if TYPE_CHECKING:
    from harness.training.attempt import Workplace


@dataclass(frozen=True)
class State:
    """What a backend has to tell since it was last asked."""

    events: list[Event]
    finished: bool
    trouble: str = ""
    """Why the run cannot go on."""
    messages: tuple[str, ...] = ()
    """What the user should know beside the events."""


def this_machine(cpus: int | None = None, with_gpus: bool = False) -> Node:
    """This machine as a node, with `cpus` cores where a number is given. Cards are counted only if any trial
    wants one: that takes torch."""
    cores = cpus or len(psutil.Process().cpu_affinity() or [0])
    cards = 0
    if with_gpus:
        import torch

        cards = torch.cuda.device_count()
    return Node("here", cores, cards, memory=psutil.virtual_memory().total)


class LocalBackend:
    """Runs the dispatcher's jobs in one thread of this process."""

    def __init__(self, dispatcher: Dispatcher, site: Site) -> None:
        self._dispatcher, self._site = dispatcher, site
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="trials", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def poll(self) -> State:
        """What happened. Raises what the loop itself raised, which is a bug."""
        finished = not self._thread.is_alive()
        if self._error is not None:
            raise HarnessError(f"the local backend broke: {self._error!r}") from self._error
        return State(self._dispatcher.drain(), finished, self._dispatcher.trouble)

    def stop(self) -> None:
        """Let the job under way save itself, then end."""
        self._dispatcher.stop()

    def close(self) -> None:
        """Nothing to release: a thread that did not end in time ends with the process."""
        self._dispatcher.stop()
        self._thread.join(timeout=0.1)

    def _run(self) -> None:
        try:
            place = self._site.workplace(stop=lambda: self._dispatcher.stopping)
            work = self._site.work or default_work()
            number = 0
            while not self._dispatcher.finished:
                number += 1
                slot = f"local-{number}"
                shape = self._dispatcher.hire(slot)
                if not isinstance(shape, Shape):
                    return
                self._run_slot(slot, shape, place, work)
        except BaseException as error:
            self._error = error

    def _run_slot(self, slot: str, shape: Shape, place: Workplace, work: Work) -> None:
        self._dispatcher.open_slot(slot, shape, node="here")
        while not isinstance(lease := self._dispatcher.lease(slot), Order):
            begin = partial(self._dispatcher.begin, slot, lease.number)
            self._dispatcher.settle(slot, perform(lease.trials, place, work, begin))
        self._dispatcher.close_slot(slot)
