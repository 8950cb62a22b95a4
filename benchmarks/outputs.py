"""OD at 15 % of positions against TextBrewer's masked mode, and at a vocabulary of 250,002 words: time and memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.conditions import Conditions, main
from benchmarks.engine import Engine
from benchmarks.memory import GIB, Peak, peak_of
from benchmarks.plain import plain_step
from benchmarks.rows import Row
from benchmarks.timing import alternate, faster
from benchmarks.world import World

os.environ.setdefault("TQDM_DISABLE", "1")
STUDENT = "6L-384"
LARGE = 250_002
"""XLM-R's vocabulary."""


def run(conditions: Conditions) -> Iterator[Row]:
    """OD steps of the harness, TextBrewer and plain PyTorch in turn; peak memory of each by itself."""
    yield from _times(conditions, 30_522, "OD step", 4.0, 1.5)
    yield from _times(conditions, LARGE, f"OD step, vocabulary {LARGE:,}", 4.0, None)
    yield from _memory(conditions)


def _times(
    conditions: Conditions, vocabulary: int, what: str, as_it_comes: float, equal: float | None
) -> Iterator[Row]:
    from benchmarks.brewer import brewer_step

    world = World.make(conditions, vocabulary)
    student = conditions.student(STUDENT)
    precisions = (
        dict.fromkeys(("fp32", conditions.auto, "bf16"))
        if equal
        else dict.fromkeys(("fp32", conditions.auto))
    )
    engines = {p: Engine([world.distil("od", student, p)], world.site) for p in precisions}
    sides: dict[str, Callable[[], object]] = {}
    for precision, engine in engines.items():
        sides[f"harness {precision}"] = engine.step
        sides[f"TextBrewer {precision}"] = brewer_step(conditions, STUDENT, precision, vocabulary)
    timings = alternate(sides, conditions)
    for engine in engines.values():
        engine.close()
    yield faster(
        f"{what} against TextBrewer as it comes",
        f"harness {conditions.auto}",
        "TextBrewer fp32",
        timings,
        as_it_comes,
        f"the harness in the precision that it takes here by itself, {conditions.auto}",
    )
    for precision in precisions if equal else ():
        yield faster(
            f"{what} against TextBrewer, both in {precision}",
            f"harness {precision}",
            f"TextBrewer {precision}",
            timings,
            equal,
        )


def _memory(conditions: Conditions) -> Iterator[Row]:
    from benchmarks.brewer import brewer_step

    World.make(conditions, LARGE)  # written once, before processes of their own read it
    peaks = {
        "harness": peak_of(_harness_step, conditions),
        "TextBrewer": peak_of(
            partial(brewer_step, student=STUDENT, precision="fp32", vocabulary=LARGE), conditions
        ),
        "plain": peak_of(
            partial(plain_step, method="od", student=STUDENT, precision="fp32", vocabulary=LARGE), conditions
        ),
    }
    what = f"OD at vocabulary {LARGE:,}, peak memory as a share of TextBrewer's"
    yield _share(f"{what}: of a step, beyond weights and optimiser state", peaks, lambda peak: peak.extra)
    yield _share(f"{what}: of the whole process", peaks, lambda peak: peak.whole)


def _share(what: str, peaks: dict[str, Peak], of: Callable[[Peak], int]) -> Row:
    return Row(
        what,
        of(peaks["harness"]) / of(peaks["TextBrewer"]),
        target=1 / 4,
        sense="at most",
        sides={name: of(peak) / GIB for name, peak in peaks.items()},
        side_unit="GiB",
    )


def _harness_step(conditions: Conditions) -> Callable[[], object]:
    world = World.make(conditions, LARGE)
    trial = world.distil("od", conditions.student(STUDENT), conditions.auto)
    return Engine([trial], world.site).step


if __name__ == "__main__":
    main("outputs", run)
