"""The Ray backend: Tune places, packs and starts worker slots; the dispatcher alone knows trials."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, InputError
from harness.schedule.dispatch.slot_shapes import Node
from harness.schedule.local import State
from harness.schedule.ray.cluster import connected, measuring_node, nodes
from harness.schedule.worker import Site

ROOM_SECONDS = 10.0
"""How often the cluster is asked which machines it has."""
FITS = 5
"""How often Tune is started anew when it gave up although trials are left."""


class RayBackend:
    """One run on a cluster that is joined, or on a Ray of its own on this machine."""

    def __init__(
        self,
        room: Callable[[list[Node]], dict[str, Any]],
        plan: dict[str, Any],
        site: Site,
        *,
        address: str | None = None,
        cpus: int | None = None,
    ) -> None:
        """`plan`: arguments of the dispatcher. `room`: from the living nodes, its `capacity` and `memory`;
        raises InputError where a kind of trial fits on none."""
        self._room, self._plan = room, plan
        self._site = site
        self._address, self._cpus = address, cpus
        self._open = ExitStack()
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._asked_room = 0.0
        self._complaint = ""

    def start(self) -> None:
        """Connect, and let Tune begin in a thread. The dispatcher stays on the driver's machine, so that any
        other may die without ending the run."""
        self._ray = self._open.enter_context(connected(self._address, self._cpus))
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from harness.schedule.ray.slots import DispatcherActor

        living = nodes(self._ray)
        room = self._room(living)
        self._measuring = measuring_node(self._ray, living)
        own = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        actor = self._ray.remote(DispatcherActor).options(num_cpus=0, scheduling_strategy=own)
        self._dispatcher = actor.remote(**self._plan, **room)
        threading.Thread(target=self._run, name="tune", daemon=True).start()

    def poll(self) -> State:
        """What happened. Raises HarnessError where Ray itself broke."""
        ended = self._ended.is_set()
        messages = self._update_room()
        try:
            events, finished, trouble = self._ray.get(self._dispatcher.poll.remote())
        except self._ray.exceptions.RayError as error:
            raise HarnessError(f"Ray lost the dispatcher: {_brief(error)}; a further run goes on") from error
        if ended and not finished:
            reason = _brief(self._error) if self._error else "no reason given"
            raise HarnessError(f"Ray Tune gave up: {reason}; a further run goes on") from self._error
        return State(events, ended, trouble, messages)

    def stop(self) -> None:
        """Hand out nothing more; workers save what they are at."""
        self._dispatcher.stop.remote()

    def close(self) -> None:
        """Leave the cluster, which ends this run's processes; one's own Ray ends with it."""
        self._open.close()
        shutil.rmtree(self._tune_dir, ignore_errors=True)

    @property
    def _tune_dir(self) -> Path:
        return self._site.runs_dir / ".tune"

    def _update_room(self) -> tuple[str, ...]:
        """Tell the dispatcher which machines there are now; what the user should know of it."""
        if time.monotonic() - self._asked_room < ROOM_SECONDS:
            return ()
        self._asked_room = time.monotonic()
        try:
            room = self._room(nodes(self._ray))
        except InputError as error:
            new = str(error) != self._complaint
            self._complaint = str(error)
            return (f"waiting for machines: {error}",) if new else ()
        self._complaint = ""
        self._dispatcher.set_room.remote(**room)
        return ()

    def _run(self) -> None:
        try:
            for _ in range(FITS):
                try:
                    self._fit()
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

    def _fit(self) -> None:
        from ray import tune

        from harness.schedule.ray.slots import Slot, SlotSearcher, resources_of

        slot = tune.with_parameters(Slot, dispatcher=self._dispatcher, site=self._site)
        tuner = tune.Tuner(
            tune.with_resources(slot, partial(resources_of, measuring=self._measuring)),
            tune_config=tune.TuneConfig(
                search_alg=SlotSearcher(self._dispatcher), num_samples=-1, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name="slots",
                storage_path=str(self._tune_dir),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _brief(error: BaseException) -> str:
    """An error of Ray's in a line; theirs carry whole logs."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
