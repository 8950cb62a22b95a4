"""A rehearsal ends when a schedule made by hand does, and when the dispatcher does; no core is used twice."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices import provenance
from harness.errors import InputError
from harness.plan import cohorts
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import Dispatcher, Lease
from harness.schedule.dispatch.rehearsal import WORKER_START, Job, Machines, Rehearsal, clock_seconds
from harness.schedule.dispatch.slot_shapes import Node, SlotShape
from harness.schedule.dispatch.workload import Workload
from harness.spec.recipes import Resources
from tests.schedule.trials import distil, finetune, measure, prepare, small_plan

TWO_CORES = Resources(cpus=2)
BEHIND = provenance.collect(device="cpu", precision="fp32", threads=1)


def machines(cores: int, **how: bool) -> Machines:
    return Machines((Node("n", cores),), **how)


def workload(trials: Sequence[Trial]) -> Workload:
    return Workload(trials, cohorts=cohorts(trial for trial in trials if trial.kind == "distil"))


def ten_each(trials: Sequence[Trial]) -> float:
    return 10.0 * len(trials)


def played(trials: Sequence[Trial], cores: int, **how: bool) -> list[Job]:
    """The rehearsal when every trial takes ten seconds."""
    return Rehearsal(workload(trials), machines(cores, **how)).play(ten_each)


def family(tasks: int) -> list[Trial]:
    """A teacher, and tasks that wait for it."""
    teacher = prepare()
    return [teacher, *(finetune(f"f{n}", teacher) for n in range(tasks))]


W = WORKER_START


@pytest.mark.parametrize(
    ("trials", "cores", "seconds"),
    [
        ([finetune("f")], 2, W + 10),
        ([finetune(f"f{n}") for n in range(5)], 1, W + 50),
        ([finetune(f"f{n}") for n in range(5)], 2, W + 30),
        ([finetune(f"f{n}") for n in range(5)], 8, W + 10),
        # the second worker starts when there is work for it, and does as much as it can from then on
        (family(4), 2, W + 10 + W + 20),
        ([prepare(), *(distil(f"s{n}", prepare()) for n in range(4))], 1, W + 10 + 40),
        ([prepare(), *(distil(f"s{n}", prepare()) for n in range(4))], 2, W + 10 + W + 20),
        # measuring comes last, one at a time
        ([finetune("f"), measure("m"), measure("n")], 2, W + 10 + 10 + 10),
        ([finetune(f"f{n}", resources=Resources(cpus=1, concurrency=1)) for n in range(3)], 4, W + 30),
        # a worker for two cores makes room for one of one core
        ([prepare(resources=TWO_CORES), finetune("f", prepare())], 2, W + 10 + W + 10),
        # its teacher is not there
        ([finetune("f", prepare())], 2, 0),
        ([], 2, 0),
    ],
)
def test_a_schedule_made_by_hand(trials: list[Trial], cores: int, seconds: float) -> None:
    assert clock_seconds(played(trials, cores)) == pytest.approx(seconds)


def test_in_one_process_jobs_follow_one_another_and_one_start_is_enough() -> None:
    trials = [prepare(resources=TWO_CORES), *(distil(f"s{n}", prepare()) for n in range(4)), measure("m")]
    jobs = played(trials, 2, one_at_a_time=True)
    assert [len(job.trials) for job in jobs] == [1, 4, 1]
    assert clock_seconds(jobs) == pytest.approx(W + 10 + 40 + 10)


def test_what_ended_is_left_out_and_what_failed_takes_its_descendants_along() -> None:
    teacher, other = prepare(), finetune("other")
    below = [finetune(f"f{n}", teacher) for n in range(3)]
    rehearsal = Rehearsal(workload([teacher, *below, other]), machines(1))
    assert clock_seconds(rehearsal.play(ten_each, done=[teacher.id, other.id])) == pytest.approx(W + 30)
    assert clock_seconds(rehearsal.play(ten_each, failed=[teacher.id])) == pytest.approx(W + 10)
    assert rehearsal.play(ten_each, done=[other.id], failed=[teacher.id]) == []


def test_what_is_under_way_keeps_its_core_and_leaves_a_warm_worker() -> None:
    trials = [finetune(f"f{n}") for n in range(3)]
    rehearsal = Rehearsal(workload(trials), machines(1))
    jobs = rehearsal.play(ten_each, done=[trials[0].id], under_way=[Job((trials[1],), 0.0, 4.0)])
    assert [(job.begins, job.ends) for job in jobs] == [(0.0, 4.0), (4.0, 14.0)]


def test_nothing_begins_before_the_run_has_started() -> None:
    (job,) = Rehearsal(workload([finetune("f")]), machines(1)).play(ten_each, starting=8.0)
    assert (job.begins, job.ends) == (8.0, pytest.approx(8.0 + W + 10))


def test_machines_without_room_for_a_trial_are_refused() -> None:
    with pytest.raises(InputError, match="2 CPU cores"):
        Rehearsal(workload([prepare(resources=TWO_CORES)]), machines(1))


def random_plan(chance: random.Random) -> tuple[list[Trial], dict[str, float]]:
    """A small plan in which every trial takes a while of its own, drawn."""
    trials = small_plan(chance.choice([Resources(cpus=1), TWO_CORES, Resources(cpus=1, concurrency=2)]))
    trials += [finetune(f"alone {n}", resources=Resources(cpus=chance.choice([1, 2]))) for n in range(3)]
    return trials, {trial.id: chance.uniform(1, 100) for trial in trials}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), cores=st.integers(2, 5))
def test_cores_parents_and_the_bounds_of_any_schedule_are_kept(seed: int, cores: int) -> None:
    trials, takes = random_plan(random.Random(seed))
    jobs = Rehearsal(workload(trials), machines(cores)).play(lambda some: sum(takes[one.id] for one in some))
    ends = {trial.id: job.ends for job in jobs for trial in job.trials}
    assert sorted(ends) == sorted(trial.id for trial in trials)
    for job in jobs:
        beside = [other for other in jobs if other.begins <= job.begins < other.ends]
        assert sum(other.trials[0].resources.cpus for other in beside) <= cores
        assert all(ends[parent] <= job.begins for trial in job.trials for parent in trial.parents)
        assert job.trials[0].kind != "measure" or len(beside) == 1
    work = sum(takes[trial.id] * trial.resources.cpus for trial in trials)
    assert clock_seconds(jobs) >= work / cores
    assert clock_seconds(jobs) <= sum(takes.values()) + W * len(jobs)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.integers(1, 4))
def test_it_agrees_with_the_dispatcher(seed: int, slots: int) -> None:
    chance = random.Random(seed)
    trials = small_plan()
    takes = {trial.id: chance.uniform(20, 100) for trial in trials}
    rehearsed = Rehearsal(workload(trials), machines(slots)).play(
        lambda some: sum(takes[one.id] for one in some)
    )
    assert clock_seconds(rehearsed) == pytest.approx(dispatched(trials, takes, slots))


def dispatched(trials: list[Trial], takes: dict[str, float], slots: int) -> float:
    """When the dispatcher ends, with slots that come and go as they do on Ray, on a made-up clock."""
    now = [0.0]
    load = workload(trials)
    manager = Dispatcher(load, machines(slots).capacity(trials), lambda: now[0])
    free: list[str] = []
    warm: set[str] = set()
    busy: list[tuple[float, str, Lease]] = []
    names = iter(range(10**6))
    while not manager.finished:
        while isinstance(shape := manager.request_slot(name := f"slot {next(names)}"), SlotShape):
            manager.open_slot(name, shape)
            free.append(name)
        for name in sorted(free, key=lambda one: one not in warm):
            lease = manager.lease(name)
            if isinstance(lease, Lease):
                free.remove(name)
                start = 0.0 if name in warm else W
                warm.add(name)
                heapq.heappush(
                    busy, (now[0] + start + sum(takes[one.id] for one in lease.trials), name, lease)
                )
        now[0], name, lease = heapq.heappop(busy)
        manager.settle(name, [ended(trial) for trial in lease.trials])
        free.append(name)
    return now[0]


def ended(trial: Trial) -> Result:
    return Result(
        trial_id=trial.id, kind=trial.kind, status="ok", started_at=0.0, finished_at=1.0, seconds=1.0,
        provenance=BEHIND,
    )  # fmt: skip
