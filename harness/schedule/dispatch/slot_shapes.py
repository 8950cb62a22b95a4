"""What a worker slot occupies, and how many such slots fit on the machines at hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.counted import counted
from harness.errors import InputError
from harness.records.trial import Trial

ASSUMED_GPU_MEMORY = 16e9
"""Bytes of a GPU. Ray does not report it, so a small common size is assumed; `distil.cohort` overrides the result."""


@dataclass(frozen=True, order=True)
class SlotShape:
    """Resources of one worker slot. Trials of equal shape share slots, whatever their kind."""

    cpus: int
    """0 runs beside whatever holds the cores."""
    gpus: float = 0.0
    """A fraction shares a GPU with others."""
    exclusive: bool = False
    """The slot has its node to itself, whoever else uses the cluster."""
    workers: int = 1
    """Processes that train one cohort together, each on the resources above, on one node or several."""

    @classmethod
    def of(cls, trial: Trial, shared: bool = False) -> SlotShape:
        """The shape that a trial asks for.

        On machines `shared` with other people's work, `measure` takes a whole node; elsewhere it is enough that the
        dispatcher runs nothing beside it. Controls, the work of a moment, hold no cores.
        """
        if trial.is_control:
            return cls(0)
        own = trial.resources
        return cls(own.cpus, own.gpus, shared and trial.kind == "measure", own.workers)

    def __str__(self) -> str:
        cores = counted(self.cpus, "CPU core")
        each = f"{cores} and {self.gpus:g} GPU" if self.gpus else cores
        return f"{self.workers} times {each}" if self.workers > 1 else each


@dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    id: str
    cpus: int
    gpus: float = 0.0
    memory: float = math.inf
    """Bytes."""
    address: str = ""
    """IP address in the cluster."""

    def slots(self, shape: SlotShape) -> int:
        """How many slots of a shape (or workers of such slots) fit on an otherwise idle node."""
        if shape.cpus > self.cpus or shape.gpus > self.gpus:
            return 0
        if shape.exclusive or not shape.cpus:
            return 1
        by_cpu = self.cpus // shape.cpus
        if not shape.gpus:
            return by_cpu
        whole = int(self.gpus)
        by_gpu = whole * math.floor(1 / shape.gpus + 1e-9) if shape.gpus < 1 else int(whole // shape.gpus)
        return min(by_cpu, by_gpu)

    def memory_of(self, shape: SlotShape) -> float:
        """Bytes of memory for each slot when slots of this shape fill the node."""
        if shape.gpus:
            return ASSUMED_GPU_MEMORY * shape.gpus
        return self.memory / max(1, self.slots(shape))


@dataclass(frozen=True)
class Capacity:
    """How many slots of each shape the machines hold, each shape taken alone, and how large those slots are."""

    slots: Mapping[SlotShape, int] = field(default_factory=dict)
    """Slots that fit at once; 1 for a shape that is not listed."""
    memory: Mapping[SlotShape, float] = field(default_factory=dict)
    """Bytes that one slot may use; unlimited for a shape that is not listed."""

    @classmethod
    def of(cls, trials: Sequence[Trial], nodes: Sequence[Node], shared: bool = False) -> Capacity:
        """The capacity of `nodes` for these trials. Raises InputError when some trial fits on no node."""
        require_capacity(trials, nodes)
        shapes = {SlotShape.of(trial, shared) for trial in trials}
        fitting = {shape: [node for node in nodes if node.slots(shape)] for shape in shapes}
        memory = {shape: min(node.memory_of(shape) for node in some) for shape, some in fitting.items()}
        return cls(slots_that_fit(shapes, nodes), memory)

    def one_of_each(self) -> Capacity:
        """The same slots, one of each shape: jobs run one after another."""
        return Capacity(dict.fromkeys(self.slots, 1), self.memory)


def slots_that_fit(shapes: Iterable[SlotShape], nodes: Sequence[Node]) -> dict[SlotShape, int]:
    """How many slots of each shape fit on the nodes, each shape taken alone."""
    counts = {shape: sum(node.slots(shape) for node in nodes) // shape.workers for shape in set(shapes)}
    return {
        shape: min(count, 1) if shape.exclusive or not shape.cpus else count
        for shape, count in counts.items()
    }


def require_capacity(trials: Iterable[Trial], nodes: Sequence[Node]) -> None:
    """Raise InputError, with a line for each kind of trial that fits nowhere, instead of waiting for ever."""
    wanted = {(trial.kind, SlotShape.of(trial)) for trial in trials}
    lines = [
        _too_large(kind, shape, nodes)
        for kind, shape in sorted(wanted)
        if not slots_that_fit([shape], nodes)[shape]
    ]
    if lines:
        raise InputError("\n".join(lines))


def _too_large(kind: str, shape: SlotShape, nodes: Sequence[Node]) -> str:
    most_cpus = max((node.cpus for node in nodes), default=0)
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    gpus = f"{most_gpus:g} GPU{'' if most_gpus == 1 else 's'}"
    have = f"the largest node has {counted(most_cpus, 'CPU core')} and {gpus}"
    room = sum(node.slots(shape) for node in nodes)
    if room:
        workers = f"the cluster has room for {room} of these {shape.workers} workers"
        return (
            f"a {kind} trial asks for {shape}, but {workers}; set resources.{kind}.workers to at most {room}"
        )
    short = f"cpus to at most {most_cpus}" if shape.cpus > most_cpus else f"gpus to at most {most_gpus:g}"
    return f"a {kind} trial asks for {shape}, but {have}; set resources.{kind}.{short}"
