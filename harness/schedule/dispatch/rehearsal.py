"""What a plan takes by the clock: its dispatch, played through with estimated times.

Work over cores is too little: trials wait for one another, a cohort divided over workers pays for its teacher's pass
more than once, workers have to start, and measuring comes last with nothing beside it.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from harness.records.trial import Kind, Trial
from harness.schedule.dispatch.effort import longest_way, members_that_fit
from harness.schedule.dispatch.graph import Graph
from harness.schedule.dispatch.queue import Place, ReadyQueue, limits
from harness.schedule.dispatch.slot_shapes import Capacity, Node, SlotShape
from harness.schedule.dispatch.workload import Workload

RUN_START = 8.0
"""Seconds until Ray stands and its first worker begins to start."""
WORKER_START = 9.0
"""Seconds that a worker takes to start, mostly for importing torch."""

Seconds = Callable[[Sequence[Trial]], float]
"""Estimated seconds of trials that one worker runs together."""


@dataclass(frozen=True)
class Machines:
    """What a run may use."""

    nodes: tuple[Node, ...]
    shared: bool = False
    """Whether other people's work may run on them (see `SlotShape.of`)."""
    one_at_a_time: bool = False
    """Whether jobs run one after another, in one process."""

    def capacity(self, trials: Sequence[Trial]) -> Capacity:
        """Room for slots of these trials. InputError where some trial fits nowhere."""
        capacity = Capacity.of(trials, self.nodes, self.shared)
        return capacity.one_of_each() if self.one_at_a_time else capacity

    @classmethod
    def least(cls, trials: Sequence[Trial]) -> Machines:
        """One machine with room for any one of these trials."""
        shapes = [SlotShape.of(trial) for trial in trials] or [SlotShape(1)]
        cores = max(1, *(shape.cpus * shape.workers for shape in shapes))
        cards = math.ceil(
            max(shape.gpus * shape.workers for shape in shapes)
        )  # a share of a card is of a whole one
        return cls((Node("assumed", cores, cards),))

    def __str__(self) -> str:
        cores, gpus = sum(node.cpus for node in self.nodes), sum(node.gpus for node in self.nodes)
        parts = [f"{cores} core{'s' if cores > 1 else ''}"]
        parts += [f"{gpus:g} GPU{'s' if gpus > 1 else ''}"] if gpus else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Job:
    """Trials that one worker runs together, seconds from now."""

    trials: tuple[Trial, ...]
    begins: float
    ends: float


class Rehearsal:
    """Plays the dispatch of one workload, as often as estimates change."""

    def __init__(self, workload: Workload, machines: Machines) -> None:
        """InputError where some trial fits nowhere."""
        self._workload, self._machines = workload, machines
        trials = workload.trials
        self._ranks = longest_way(trials)
        self._limits = limits(trials)
        wanted = [trial for trial in trials if trial.id not in workload.recorded]
        self._capacity = machines.capacity(wanted)

    def play(
        self,
        seconds: Seconds,
        done: Collection[str] = (),
        failed: Collection[str] = (),
        under_way: Sequence[Job] = (),
        starting: float = 0.0,
    ) -> list[Job]:
        """The jobs still to end, in the order in which they begin: those `under_way`, then the others, of which the
        first begins after `starting` seconds. `done` and `failed`: trials that ended since the workload was drawn up."""
        stage = _Stage(self, seconds, {*self._workload.recorded, *done}, {*self._workload.failed, *failed})
        return stage.play(under_way, starting)

    def queue(self) -> ReadyQueue:
        """An empty queue for the workload's trials."""
        load = self._workload
        return ReadyQueue(load.trials, self._ranks, load.cohorts, self._fitting, load.shared)

    def graph(self, done: Collection[str], failed: Collection[str]) -> Graph:
        """What can still run, and what it waits for."""
        graph = Graph(self._workload.trials, done, failed)
        for trial_id in (*failed, *graph.missing_parents):
            graph.fail(trial_id)
        return graph

    def slots(self, shape: SlotShape) -> int:
        """How many slots of a shape fit at once."""
        return self._capacity.slots.get(shape, 1)

    def limit(self, kind: Kind) -> int:
        """How many jobs of a kind may run at once."""
        return self._limits.get(kind, len(self._workload.trials))

    @property
    def room(self) -> tuple[float, float]:
        """(cores, GPUs) of all machines."""
        nodes = self._machines.nodes
        return sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)

    @property
    def one_at_a_time(self) -> bool:
        """Whether jobs run one after another."""
        return self._machines.one_at_a_time

    def shape(self, trial: Trial) -> SlotShape:
        """What a trial's slot occupies."""
        return SlotShape.of(trial, self._workload.shared)

    def _fitting(self, members: Sequence[Trial], shape: SlotShape) -> int:
        return members_that_fit(members, self._capacity.memory.get(shape, float("inf")))


def clock_seconds(jobs: Sequence[Job]) -> float:
    """When the last of these jobs ends."""
    return max((job.ends for job in jobs), default=0.0)


@dataclass
class _Workers:
    """Workers of one shape."""

    busy: int = 0
    warm: int = 0
    """Started and idle."""


@dataclass
class _Stage:
    """One performance."""

    plan: Rehearsal
    seconds: Seconds
    done: Collection[str]
    failed: Collection[str]
    now: float = 0.0
    jobs: list[Job] = field(default_factory=list)
    _ends: list[tuple[float, int]] = field(default_factory=list)
    """(end, index in `jobs`) of running jobs, soonest first."""
    _workers: dict[SlotShape, _Workers] = field(default_factory=dict)
    _running: Counter[Kind] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._graph = self.plan.graph(self.done, self.failed)
        self._queue = self.plan.queue()
        trials = self._graph.trials
        self._training = sum(trials[one].kind != "measure" for one in self._graph.open)
        self._cores, self._gpus = self.plan.room

    def play(self, under_way: Sequence[Job], starting: float) -> list[Job]:
        held = {trial.id for job in under_way for trial in job.trials}
        for trial_id in self._graph.ready:
            if trial_id not in held:
                self._queue.add(trial_id)
        for job in under_way:
            self._begin(job)
        self.now = starting
        self._begin_all()
        while self._ends:
            self._end_next()
            self._begin_all()
        return self.jobs

    def _begin_all(self) -> None:
        """Begin what has room, most urgent first: nothing goes before what waits for room."""
        while (place := self._next_place()) is not None and self._has_room(place[0]):
            trials = self._queue.take(place, self._free_slots(place) // self._queue.entries(place))
            begins = self.now + self._start(place[0])
            self._begin(Job(trials, self.now, begins + self.seconds(trials)))

    def _next_place(self) -> Place | None:
        open_ = [place for place in self._queue.places() if self._may_run(place[1])]
        return min(open_, key=self._queue.first, default=None)

    def _may_run(self, kind: Kind) -> bool:
        if kind == "measure" and self._training:
            return False
        return self._running[kind] < self.plan.limit(kind)

    def _free_slots(self, place: Place) -> int:
        shape, kind = place
        slots = self.plan.slots(shape) - self._of(shape).busy
        return max(1, min(slots, self.plan.limit(kind) - self._running[kind]))

    def _has_room(self, shape: SlotShape) -> bool:
        if self.plan.one_at_a_time and self._ends:
            return False
        if shape.exclusive and self._ends:
            return False
        fits = self._cores >= shape.cpus * shape.workers and self._gpus >= shape.gpus * shape.workers - 1e-9
        return fits and self._of(shape).busy < self.plan.slots(shape)

    def _start(self, shape: SlotShape) -> float:
        """Seconds until a worker of this shape takes a job. Starting one ends idle workers of other shapes, which hold
        cores; in one process there is but one to start."""
        warm = (
            any(one.warm for one in self._workers.values())
            if self.plan.one_at_a_time
            else self._of(shape).warm
        )
        if warm:
            return 0.0
        for other in self._workers.values():
            other.warm = 0
        return WORKER_START

    def _begin(self, job: Job) -> None:
        first = job.trials[0]
        shape = self.plan.shape(first)
        workers = self._of(shape)
        workers.busy, workers.warm = workers.busy + 1, max(0, workers.warm - 1)
        self._running[first.kind] += 1
        self._occupy(shape, 1)
        heapq.heappush(self._ends, (job.ends, len(self.jobs)))
        self.jobs.append(job)

    def _end_next(self) -> None:
        ends, index = heapq.heappop(self._ends)
        self.now = max(self.now, ends)
        trials = self.jobs[index].trials
        shape = self.plan.shape(trials[0])
        workers = self._of(shape)
        workers.busy, workers.warm = workers.busy - 1, workers.warm + 1
        self._running[trials[0].kind] -= 1
        self._occupy(shape, -1)
        for trial in trials:
            self._training -= trial.kind != "measure"
            for child in self._graph.succeed(trial.id):
                self._queue.add(child)

    def _occupy(self, shape: SlotShape, sign: int) -> None:
        self._cores -= sign * shape.cpus * shape.workers
        self._gpus -= sign * shape.gpus * shape.workers

    def _of(self, shape: SlotShape) -> _Workers:
        return self._workers.setdefault(shape, _Workers())
