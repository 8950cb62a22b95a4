"""What a worker slot occupies, and how many such slots fit on the machines at hand. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import InputError
from harness.records.trial import Trial

ASSUMED_GPU_MEMORY = 16e9
"""Bytes of a card: the cluster does not tell, so the least usual size is assumed; `distil.cohort`
overrides."""


@dataclass(frozen=True, order=True)
class Shape:
    """Resources of one worker slot. Trials of equal shape share slots, whatever their kind."""

    cpus: int
    gpus: float = 0.0
    """Fractions share a card."""
    exclusive: bool = False
    """The slot has its node to itself, whoever else uses the cluster."""
    workers: int = 1
    """Processes that train one cohort together, each on the resources above, on one node or several."""

    @classmethod
    def of(cls, trial: Trial, shared: bool = False) -> Shape:
        """The shape that a trial asks for. On machines `shared` with other people's work, `measure` takes a
        whole node; elsewhere it is enough that the dispatcher runs nothing beside it."""
        own = trial.resources
        return cls(own.cpus, own.gpus, shared and trial.kind == "measure", own.workers)

    def __str__(self) -> str:
        cores = f"{self.cpus} CPU core{'s' if self.cpus > 1 else ''}"
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
    """IP address by which the cluster knows it."""

    def slots(self, shape: Shape) -> int:
        """How many slots of a shape (or workers of such slots) fit here at once when nothing else does."""
        if shape.cpus > self.cpus or shape.gpus > self.gpus:
            return 0
        if shape.exclusive:
            return 1
        by_cpu = self.cpus // shape.cpus
        if not shape.gpus:
            return by_cpu
        whole = int(self.gpus)
        by_gpu = whole * math.floor(1 / shape.gpus + 1e-9) if shape.gpus < 1 else int(whole // shape.gpus)
        return min(by_cpu, by_gpu)

    def memory_of(self, shape: Shape) -> float:
        """Bytes of memory that one slot may count on when slots of its shape fill the node."""
        if shape.gpus:
            return ASSUMED_GPU_MEMORY * shape.gpus
        return self.memory / max(1, self.slots(shape))


def capacity(shapes: Iterable[Shape], nodes: Iterable[Node]) -> dict[Shape, int]:
    """How many slots of each shape fit on the nodes, each shape taken alone."""
    here = list(nodes)
    counts = {shape: sum(node.slots(shape) for node in here) // shape.workers for shape in set(shapes)}
    return {shape: min(count, 1) if shape.exclusive else count for shape, count in counts.items()}


def require_room(trials: Iterable[Trial], nodes: Iterable[Node]) -> None:
    """Raise InputError, naming each kind that no node can hold, instead of waiting for ever."""
    here = list(nodes)
    wanted = {(trial.kind, Shape.of(trial)) for trial in trials}
    lines = [
        _too_large(kind, shape, here) for kind, shape in sorted(wanted) if not capacity([shape], here)[shape]
    ]
    if lines:
        raise InputError("\n".join(lines))


def _too_large(kind: str, shape: Shape, nodes: list[Node]) -> str:
    most_cpus = max((node.cpus for node in nodes), default=0)
    most_gpus = max((node.gpus for node in nodes), default=0.0)
    have = f"the largest node has {most_cpus} CPU cores and {most_gpus:g} GPUs"
    room = sum(node.slots(shape) for node in nodes)
    if room:
        workers = f"the cluster has room for {room} of these {shape.workers} workers"
        return (
            f"a {kind} trial asks for {shape}, but {workers}; set resources.{kind}.workers to at most {room}"
        )
    short = f"cpus to at most {most_cpus}" if shape.cpus > most_cpus else f"gpus to at most {most_gpus:g}"
    return f"a {kind} trial asks for {shape}, but {have}; set resources.{kind}.{short}"
