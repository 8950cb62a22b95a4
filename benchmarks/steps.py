"""One training step of MiniLMv2, HS and OD against plain PyTorch: 12L-768 -> 6L-384, 8 × 128 tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.conditions import Conditions, main
from benchmarks.engine import Engine
from benchmarks.plain import plain_step
from benchmarks.rows import Row
from benchmarks.timing import alternate, faster
from benchmarks.world import World

NAMES = {"minilmv2": "MiniLMv2", "hs-uniform": "HS (uniform)", "od": "OD, 15 % of positions"}
STUDENT = "6L-384"
VOCABULARY = 30_522
TARGETS = {"minilmv2": (2.5, 1.4), "hs-uniform": (2.5, 1.4), "od": (None, None)}
"""Method -> target ratio against the plain fp32 and the plain bf16 reference."""


def run(conditions: Conditions) -> Iterator[Row]:
    """A step of each method, the harness and the plain reference in turn, fp32 and bf16."""
    world = World.make(conditions, VOCABULARY)
    for method, name in NAMES.items():
        sides, close = _sides(world, method)
        timings = alternate(sides, conditions)
        close()
        auto = f"harness {conditions.auto}"
        against_fp32, against_bf16 = TARGETS[method]
        yield faster(
            f"{name} step against plain fp32", auto, "plain fp32", timings, against_fp32, _note(conditions)
        )
        yield faster(
            f"{name} step in bf16 against plain bf16", "harness bf16", "plain bf16", timings, against_bf16
        )
        if conditions.auto != "fp32":
            yield faster(f"{name} step, both in fp32", "harness fp32", "plain fp32", timings, None)


def _sides(world: World, method: str) -> tuple[dict[str, Callable[[], object]], Callable[[], None]]:
    conditions = world.conditions
    engines = {
        precision: Engine([world.distil(method, conditions.student(STUDENT), precision)], world.site)
        for precision in ("fp32", "bf16")
    }
    sides: dict[str, Callable[[], object]] = {}
    for precision, engine in engines.items():
        sides[f"harness {precision}"] = engine.step
        sides[f"plain {precision}"] = plain_step(conditions, method, STUDENT, precision, VOCABULARY)

    def close() -> None:
        for engine in engines.values():
            engine.close()

    return sides, close


def _note(conditions: Conditions) -> str:
    return f"the harness in the precision that it takes here by itself, {conditions.auto}"


if __name__ == "__main__":
    main("steps", run)
