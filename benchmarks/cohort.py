"""Six methods on one teacher pass against the same six run one after another, and the speed of a cohort's step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.conditions import Conditions, main
from benchmarks.engine import Engine
from benchmarks.rows import Row
from benchmarks.timing import Timing, alternate, faster
from benchmarks.world import World
from harness.devices.matmul import matmul_peak
from harness.devices.placement import Resolved
from harness.flops import read_flops, training_flops
from harness.records.trial import DistilJob, Trial

METHODS = ("od", "hs-last", "hs-uniform", "hs-uniform-last", "minilmv2", "direct-minilm")
TARGETS = {"3L-192": 2.5, "6L-384": 1.5}
UTILISATION = {"3L-192": None, "6L-384": 30.0}
LARGEST = 16


def run(conditions: Conditions) -> Iterator[Row]:
    """A step of the cohort and a step of each member alone, in turn; operations a second over the peak."""
    world = World.make(conditions)
    precision = conditions.auto
    for name, target in TARGETS.items():
        members = [world.distil(method, conditions.student(name), precision) for method in METHODS]
        cohort = Engine(members, world.site)
        # Trials of their own (another seed), so that nobody shares a folder.
        alone = [
            Engine([world.distil(method, conditions.student(name), precision, seed=2)], world.site)
            for method in METHODS
        ]

        def one_by_one(engines: Sequence[Engine] = tuple(alone)) -> None:
            for engine in engines:
                engine.step()

        timings = alternate({"one by one": one_by_one, "cohort": cohort.step}, conditions)
        for engine in (cohort, *alone):
            engine.close()
        yield faster(
            f"cohort of six, students {name}, against one by one", "cohort", "one by one", timings, target
        )
        yield _utilisation(world, name, members, timings["cohort"], precision, UTILISATION[name])
    if conditions.device == "cuda" or conditions.quick:
        yield from _scaling(world, precision)


def _scaling(world: World, precision: Resolved) -> Iterator[Row]:
    """Students 6L-384 of one method and different learning rates are as good as any: 1 to 16 of them."""
    conditions = world.conditions
    sizes = (1, 2) if conditions.quick else (1, 2, 4, 8, LARGEST)
    single: Timing | None = None
    for size in sizes:
        methods = (METHODS[number % len(METHODS)] for number in range(size))
        members = [
            _named(world.distil(method, conditions.student("6L-384"), precision, seed=3), number)
            for number, method in enumerate(methods)
        ]
        engine = Engine(members, world.site)
        timing = alternate({"cohort": engine.step}, conditions)["cohort"]
        engine.close()
        single = single or timing
        yield Row(
            f"cohort of {size}, students 6L-384: time of a step for each student, against one alone",
            single.median / (timing.median / size),
            sides={"step": 1000 * timing.median},
        )
        yield _utilisation(world, "6L-384", members, timing, precision, None)


def _named(trial: Trial, number: int) -> Trial:
    """A distinct trial of equal cost: only its weight decay differs."""
    job = trial.job
    assert isinstance(job, DistilJob)
    recipe = job.recipe.model_copy(update={"weight_decay": 0.01 * (1 + number)})
    changed = job.model_copy(update={"recipe": recipe})
    return trial.model_copy(update={"job": changed, "id": f"{number:016x}"})


def _utilisation(
    world: World,
    name: str,
    members: Sequence[Trial],
    timing: Timing,
    precision: Resolved,
    target: float | None,
) -> Row:
    conditions = world.conditions
    peak = matmul_peak(conditions.cache, conditions.device, precision, conditions.threads)
    operations = cohort_flops(world, members)
    return Row(
        f"whole step of a cohort of {len(members)}, students {name}: share of the {precision} matmul peak",
        100 * operations / timing.median / peak,
        unit="%",
        target=target,
        sides={"reached": operations / timing.median / 1e9, "peak": peak / 1e9},
        side_unit="GFLOP/s",
        note="matrix products of models and masked-LM heads only, by the formula below",
    )


def cohort_flops(world: World, members: Sequence[Trial]) -> int:
    """Operations of one step: the teacher once to its last layer, every student forward and backward."""
    conditions, teacher = world.conditions, world.shape
    jobs = [trial.job for trial in members if isinstance(trial.job, DistilJob)]
    positions = round(conditions.tokens * jobs[0].recipe.mlm_probability)
    size = (conditions.batch_size, conditions.length)
    head = any(job.method.needs_mlm_head for job in jobs)
    total = read_flops(teacher, *size, layers=teacher.layers, maps=0, positions=positions if head else 0)
    for job in jobs:
        trained = positions if job.method.trains_mlm_head else 0
        total += training_flops(job.student.shape(teacher), *size, trained)
    return total


if __name__ == "__main__":
    main("cohort", run)
