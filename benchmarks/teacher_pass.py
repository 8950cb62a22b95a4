"""The teacher's forward pass: operations a second over the measured matmul peak. 12L-768, 128 tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.conditions import Conditions, main
from benchmarks.rows import Row
from benchmarks.timing import alternate
from benchmarks.world import World
from harness.devices.matmul import matmul_peak
from harness.devices.placement import Resolved, place_teacher
from harness.flops import forward_flops
from harness.methods.loss import Batch, Needs
from harness.models.taps import Tapped

PRECISIONS: tuple[Resolved, ...] = ("fp32", "bf16")


def run(conditions: Conditions) -> Iterator[Row]:
    """Both precisions in turn, at 8 and at 16 blocks."""
    world = World.make(conditions)
    teachers = {precision: _teacher(world, precision) for precision in PRECISIONS}
    for blocks in (conditions.batch_size, 2 * conditions.batch_size):
        batch = _batch(world, blocks)
        sides = {str(name): partial(teacher, batch) for name, teacher in teachers.items()}
        timings = alternate(sides, conditions)
        for precision in PRECISIONS:
            peak = matmul_peak(conditions.cache, conditions.device, precision, conditions.threads)
            rate = forward_flops(world.shape, blocks, conditions.length) / timings[precision].median
            yield Row(
                f"teacher pass, {blocks} × {conditions.length} tokens: share of the {precision} matmul peak",
                100 * rate / peak,
                unit="%",
                target=60.0 if precision == "bf16" else None,
                sides={"reached": rate / 1e9, "peak": peak / 1e9},
                side_unit="GFLOP/s",
                spread={"reached": timings[precision].spread},
            )


def _teacher(world: World, precision: Resolved) -> Tapped:
    model = place_teacher(world.load_teacher().model, world.conditions.torch_device, precision)
    return Tapped(model, Needs(hidden=frozenset({world.shape.layers})), frozen=True)


def _batch(world: World, blocks: int) -> Batch:
    draws = torch.Generator().manual_seed(0)
    size = (blocks, world.conditions.length)
    ids = torch.randint(5, world.shape.vocabulary, size, generator=draws)
    batch = Batch(ids, torch.ones(size, dtype=torch.bool), torch.full(size, -100), padded=False)
    return batch.to(world.conditions.torch_device)


if __name__ == "__main__":
    main("teacher_pass", run)
