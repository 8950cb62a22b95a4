"""Whether cost scales as it should: time per token independent of corpus size and step, memory
flat over 2,000 steps."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks.conditions import Conditions, main
from benchmarks.engine import Engine
from benchmarks.memory import GIB
from benchmarks.rows import Row
from benchmarks.world import World
from harness.corpora.blocks import TokenBlocks
from harness.corpora.stream import BatchStream
from harness.spec.recipes import TokenBatches

STEPS_OF_DATA = (10**3, 10**4, 10**5, 10**6)
READS = 200
FLAT = 1.25
"""Cost counts as flat if the last is at most this times the first."""
TRAINED = 2_000
LEAK = 64 * 2**20
"""Bytes that a process may grow by between step 500 and step 2,000, for its allocator."""


def run(conditions: Conditions) -> Iterator[Row]:
    """Reading batches of ever larger corpora; training for 2,000 steps."""
    yield from _reading(conditions)
    yield from _training(conditions)


def _reading(conditions: Conditions) -> Iterator[Row]:
    world = World.make(conditions)
    loaded = world.load_teacher()
    blocks = world.blocks(loaded)
    each: dict[str, float] = {}
    for steps in STEPS_OF_DATA[:2] if conditions.quick else STEPS_OF_DATA:
        grown = _grown(blocks, conditions.folder / f"blocks-{steps}", steps * conditions.batch_size)
        each[f"{steps:,} steps"] = _read(grown, world.recipe("fp32"), steps) / conditions.tokens
    first, *_, last = each.values()
    yield Row(
        "input stream: time per token with the largest corpus over the smallest",
        last / first,
        target=FLAT,
        sense="at most",
        sides={name: 1e6 * seconds for name, seconds in each.items()},
        side_unit="µs",
        note="corpora of so many steps of token blocks, read at random steps of their second epoch",
    )


def _grown(blocks: TokenBlocks, folder: Path, count: int) -> TokenBlocks:
    """The token blocks with the training share repeated up to `count` blocks (a sparse file beyond them)."""
    folder.mkdir()
    (language,) = blocks.languages
    data = (blocks.path / f"{language}.train.bin").read_bytes()
    size = len(data) // blocks.languages[language].blocks
    with (folder / f"{language}.train.bin").open("wb") as file:
        file.write(data)
        file.truncate(count * size)
    entry = replace(blocks.languages[language], blocks=count, tokens=count * blocks.length)
    return replace(blocks, path=folder, languages={language: entry})


def _read(blocks: TokenBlocks, recipe: TokenBatches, steps: int) -> float:
    """Median seconds per batch."""
    stream = BatchStream(blocks, recipe, seed=1)
    draw = random.Random(0)
    seconds = []
    for _ in range(READS):
        step = steps + draw.randrange(steps)
        began = time.perf_counter()
        stream.at(step)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _training(conditions: Conditions) -> Iterator[Row]:
    """A model of the smoke test's size, so that memory kept by the loop itself would show."""
    small = replace(conditions, quick=True)
    engine = Engine(
        [World.make(small).distil(method, small.student("3L-192"), "fp32") for method in ("od", "minilmv2")],
        World.make(small).site,
    )
    steps = 40 if conditions.quick else TRAINED
    process = psutil.Process()
    seconds, sizes = [], []
    for _ in range(steps):
        began = time.perf_counter()
        engine.step()
        seconds.append(time.perf_counter() - began)
        sizes.append(process.memory_info().rss)
    engine.close()
    quarter = steps // 4
    growth = statistics.median(sizes[-quarter:]) - statistics.median(sizes[quarter : 2 * quarter])
    yield Row(
        f"training for {steps:,} steps: growth of memory from the second quarter to the last",
        max(0, growth) / 2**20,
        unit="MiB",
        target=LEAK / 2**20,
        sense="at most",
        sides={"at the end": sizes[-1] / GIB},
        side_unit="GiB",
    )
    first, last = statistics.median(seconds[quarter : 2 * quarter]), statistics.median(seconds[-quarter:])
    yield Row(
        f"training for {steps:,} steps: time of a step in the last quarter over the second",
        last / first,
        target=FLAT,
        sense="at most",
        sides={"second quarter": 1000 * first, "last quarter": 1000 * last},
    )


if __name__ == "__main__":
    main("growth", run)
