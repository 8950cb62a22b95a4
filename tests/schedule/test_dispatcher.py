"""The dispatcher keeps order, limits and exclusiveness whatever happens to its slots."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices import provenance
from harness.plan import cohorts
from harness.records.result import Failure, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import MAX_FAILED_STARTS, MAX_LOSSES, Dispatcher, Lease, Order
from harness.schedule.dispatch.events import Blocked, Ended, GivenUp, Started
from harness.schedule.dispatch.slot_shapes import Capacity, SlotShape
from harness.schedule.dispatch.workload import Workload
from harness.spec.recipes import Resources
from tests.schedule.trials import distil, finetune, measure, prepare, small_plan

ONE = SlotShape(1)
ALONE = SlotShape(1, exclusive=True)
KILLED = Failure(reason="killed", message="its worker died")


def result(trial: Trial, reason: str | None = None) -> Result:
    """How a trial ended."""
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="failed" if reason else "ok",
        error=Failure(reason=reason, message=reason) if reason else None,
        started_at=0.0,
        finished_at=1.0,
        seconds=1.0,
        provenance=provenance.collect(device="cpu", precision="fp32", threads=1),
    )


def dispatcher(
    trials: list[Trial],
    slots: int = 2,
    memory: dict[SlotShape, float] | None = None,
    clock: Callable[[], float] = time.time,
    **known: Any,
) -> Dispatcher:
    """A dispatcher for machines with room for `slots` slots of any shape."""
    shapes = {SlotShape.of(trial) for trial in trials}
    groups = cohorts([trial for trial in trials if trial.kind == "distil"])
    capacity = Capacity(dict.fromkeys(shapes, slots), memory or {})
    return Dispatcher(Workload(trials, cohorts=groups, **known), capacity, clock)


def opened(manager: Dispatcher, shape: SlotShape = ONE, name: str = "a", node: str = "n") -> str:
    """An open slot."""
    manager.open_slot(name, shape, node)
    return name


def taken_up(manager: Dispatcher, slot: str) -> Lease | Order:
    """The slot's next job, begun by its worker."""
    order = manager.lease(slot)
    if isinstance(order, Lease):
        assert manager.begin(slot, order.number, order.trials)
    return order


def starts(manager: Dispatcher) -> list[str]:
    """Trials that were started since it was last asked."""
    return [trial for event in manager.drain() if isinstance(event, Started) for trial in event.trial_ids]


def ids(order: Lease | Order) -> set[str]:
    """Trials of a lease."""
    assert isinstance(order, Lease), order
    return {trial.id for trial in order.trials}


def test_a_child_waits_until_its_parent_has_ended_well() -> None:
    parent = prepare()
    child = finetune("f", parent)
    manager = dispatcher([parent, child])
    first, second = opened(manager, name="a"), opened(manager, name="b")
    assert ids(manager.lease(first)) == {parent.id}
    assert manager.lease(second) is Order.WAIT
    manager.settle(first, [result(parent)])
    assert ids(manager.lease(second)) == {child.id}


def test_a_cohort_runs_together_in_one_slot_when_there_is_only_one() -> None:
    teacher = prepare()
    students = [distil(f"s{n}", teacher) for n in range(5)]
    manager = dispatcher([teacher, *students], slots=1, recorded=frozenset({teacher.id}))
    assert ids(manager.lease(opened(manager))) == {student.id for student in students}


def test_a_cohort_is_divided_when_workers_would_stand_idle() -> None:
    teacher = prepare()
    students = [distil(f"s{n}", teacher) for n in range(5)]
    manager = dispatcher([teacher, *students], slots=2, recorded=frozenset({teacher.id}))
    first, second = (
        ids(manager.lease(opened(manager, name="a"))),
        ids(manager.lease(opened(manager, name="b"))),
    )
    assert sorted(map(len, (first, second))) == [2, 3]
    assert first | second == {student.id for student in students}


def test_cohorts_are_not_divided_when_there_are_enough_of_them() -> None:
    students = [distil(f"s{n} of {seed}", seed=seed) for seed in (1, 2) for n in range(3)]
    manager = dispatcher(students, slots=2)
    assert len(ids(manager.lease(opened(manager, name="a")))) == 3
    assert len(ids(manager.lease(opened(manager, name="b")))) == 3


def test_a_cohort_is_no_larger_than_memory_holds() -> None:
    students = [distil(f"s{n}") for n in range(6)]
    manager = dispatcher(students, slots=1, memory={ONE: 1.0})
    assert len(ids(manager.lease(opened(manager)))) == 1


def test_the_longest_way_to_the_end_goes_first() -> None:
    short, long = distil("short", layers=1, seed=1), distil("long", layers=6, seed=2)
    manager = dispatcher([short, long], slots=1)
    assert ids(manager.lease(opened(manager))) == {long.id}


def test_a_limit_of_a_kind_holds_across_slots() -> None:
    limited = Resources(cpus=1, concurrency=1)
    trials = [finetune(f"f{n}", resources=limited) for n in range(3)]
    manager = dispatcher(trials, slots=3)
    first, second = opened(manager, name="a"), opened(manager, name="b")
    lease = manager.lease(first)
    assert manager.lease(second) is Order.WAIT
    assert isinstance(lease, Lease)
    manager.settle(first, [result(lease.trials[0])])
    assert isinstance(manager.lease(second), Lease)


def test_measuring_comes_after_training_with_nothing_beside_it() -> None:
    training, timing, other = finetune("f"), measure("m"), measure("other")
    manager = dispatcher([training, timing, other])
    first, second = opened(manager, name="a"), opened(manager, name="b")
    assert ids(manager.lease(first)) == {training.id}
    assert manager.lease(second) is Order.WAIT
    manager.settle(first, [result(training)])
    assert ids(manager.lease(first)) == {timing.id}
    assert manager.lease(second) is Order.LEAVE
    assert manager.request_slot("c") is Order.WAIT
    manager.settle(first, [result(timing)])
    assert ids(manager.lease(first)) == {other.id}


def test_on_shared_machines_measuring_takes_a_whole_node() -> None:
    manager = Dispatcher(Workload([measure("m"), measure("n")], shared=True), Capacity({ALONE: 1}), time.time)
    assert manager.request_slot("a") == ALONE
    assert manager.request_slot("b") is Order.WAIT


def test_a_failure_blocks_all_that_descend_from_it_and_names_itself() -> None:
    teacher = prepare()
    student, other = distil("s", teacher), distil("other", seed=2)
    task = finetune("f", student)
    manager = dispatcher([teacher, student, other, task], slots=1)
    slot = opened(manager)
    seen = []
    while isinstance(lease := manager.lease(slot), Lease):
        seen += [trial.id for trial in lease.trials]
        manager.settle(slot, [result(t, "nan" if t.id == teacher.id else None) for t in lease.trials])
    blocked = {event.trial_id: event for event in manager.drain() if isinstance(event, Blocked)}
    assert set(seen) == {teacher.id, other.id}
    assert set(blocked) == {student.id, task.id}
    assert blocked[student.id].because == teacher.id
    assert blocked[student.id].reason == "nan"
    assert manager.finished


def test_an_old_failure_that_is_not_retried_blocks_its_descendants_too() -> None:
    teacher = prepare()
    manager = dispatcher([teacher, distil("s", teacher)], failed={teacher.id: "nan"})
    assert manager.finished
    assert [type(event) for event in manager.drain()] == [Blocked]


def test_a_parent_outside_the_plan_without_a_result_blocks() -> None:
    manager = dispatcher([finetune("f", prepare())])
    (event,) = manager.drain()
    assert isinstance(event, Blocked)
    assert "not part of the plan" in event.reason


def test_a_cohort_that_loses_its_worker_goes_on_in_halves() -> None:
    students = [distil(f"s{n}") for n in range(4)]
    manager = dispatcher(students, slots=1)
    slot = opened(manager)
    taken_up(manager, slot)
    manager.lose(slot, KILLED, results=[result(students[0])])
    sizes = []
    while isinstance(lease := manager.lease(slot), Lease):
        sizes.append(len(lease.trials))
        manager.settle(slot, [result(trial) for trial in lease.trials])
    assert sizes == [2, 1]


def test_a_trial_that_keeps_killing_its_worker_fails_and_takes_no_neighbour_along() -> None:
    students = [distil(f"s{n}") for n in range(4)]
    poison = students[2].id
    manager = dispatcher(students, slots=1)
    slot = opened(manager)
    attempts = 0
    while isinstance(lease := taken_up(manager, slot), Lease):
        if poison in {trial.id for trial in lease.trials}:
            attempts += 1
            manager.lose(slot, KILLED)
        else:
            manager.settle(slot, [result(trial) for trial in lease.trials])
    events = manager.drain()
    assert {event.result.trial_id for event in events if isinstance(event, Ended)} == {
        student.id for student in students if student.id != poison
    }
    (given_up,) = [event for event in events if isinstance(event, GivenUp)]
    assert given_up.trial_id == poison
    assert given_up.failure.reason == "killed"
    assert attempts == 2 + MAX_LOSSES  # with three others, with one other, alone


def test_a_job_whose_worker_was_dead_before_it_began_was_not_started_and_stays_whole() -> None:
    students = [distil(f"s{n}") for n in range(4)]
    manager = dispatcher(students, slots=1)
    slot = opened(manager)
    for _ in range(MAX_FAILED_STARTS - 1):
        assert len(ids(manager.lease(slot))) == 4
        manager.lose(slot, KILLED)
    assert starts(manager) == []
    lease = taken_up(manager, slot)
    assert sorted(starts(manager)) == sorted(ids(lease)) == sorted(student.id for student in students)
    assert not manager.trouble


def test_a_start_interrupted_by_a_kill_is_one_needed_start_more() -> None:
    trial = finetune("f")
    manager = dispatcher([trial])
    slot = opened(manager)
    taken_up(manager, slot)
    manager.lose(slot, KILLED)
    manager.settle(slot, [result(t) for t in taken_up(manager, slot).trials])
    assert starts(manager) == [trial.id, trial.id]
    assert manager.finished


def test_a_worker_whose_slot_was_given_up_may_begin_nothing() -> None:
    trial = finetune("f")
    manager = dispatcher([trial])
    late = manager.lease(opened(manager, name="cut off"))
    manager.close_slot("cut off", "its worker's machine is gone")
    slot = opened(manager, name="another")
    lease = taken_up(manager, slot)
    assert isinstance(late, Lease)
    assert isinstance(lease, Lease)
    assert not manager.begin("cut off", late.number, late.trials)
    assert not manager.begin(slot, late.number, late.trials)
    manager.settle(slot, [result(trial)])
    assert not manager.begin(slot, lease.number, lease.trials)
    assert starts(manager) == [trial.id]


def test_a_slot_that_comes_back_under_its_name_has_lost_what_it_held() -> None:
    trial = finetune("f")
    manager = dispatcher([trial])
    slot = opened(manager)
    manager.lease(slot)
    opened(manager)
    assert ids(manager.lease(slot)) == {trial.id}


def test_after_stop_nothing_is_handed_out_and_unfinished_work_is_no_failure() -> None:
    trials = [finetune("f"), finetune("g")]
    manager = dispatcher(trials, slots=1)
    slot = opened(manager)
    manager.lease(slot)
    manager.stop()
    assert not manager.finished
    manager.settle(slot, [])
    assert manager.lease(slot) is Order.LEAVE
    assert manager.finished
    assert not [event for event in manager.drain() if isinstance(event, (Ended, GivenUp))]


def test_workers_that_die_before_they_begin_what_they_were_given_end_the_run_with_the_reason() -> None:
    manager = dispatcher([finetune("f")])
    slot = opened(manager)
    while isinstance(manager.lease(slot), Lease):
        manager.lose(slot, Failure(reason="killed", message="cannot import torch"))
    assert manager.finished
    assert "cannot import torch" in manager.trouble


def test_workers_that_die_before_taking_work_end_the_run_with_the_reason() -> None:
    manager = dispatcher([finetune("f")])
    for number in range(5):
        manager.request_slot(f"slot {number}")
        manager.close_slot(f"slot {number}", "cannot import torch")
    assert manager.finished
    assert "cannot import torch" in manager.trouble


def test_idle_slots_stay_warm_for_a_while_but_make_room_for_another_shape() -> None:
    now = [0.0]
    large = Resources(cpus=2)
    parent = prepare(resources=large)
    manager = dispatcher([parent, finetune("f", parent)], clock=lambda: now[0])
    small = opened(manager, ONE, "small")
    assert manager.lease(small) is Order.LEAVE  # the parent needs the room
    big = opened(manager, SlotShape(2), "big")
    manager.lease(big)
    assert manager.lease(small) is Order.WAIT
    now[0] = 3600.0
    assert manager.lease(small) is Order.LEAVE


def test_small_slots_make_way_for_a_large_one_that_has_waited() -> None:
    now = [0.0]
    small_trials = [finetune(f"f{n}") for n in range(4)]
    urgent = prepare(resources=Resources(cpus=2))
    manager = dispatcher([urgent, *small_trials], clock=lambda: now[0])
    assert manager.request_slot("big") == SlotShape(2)
    small = opened(manager, ONE, "small")
    lease = manager.lease(small)
    assert isinstance(lease, Lease)
    now[0] = 30.0
    manager.settle(small, [result(lease.trials[0])])
    assert manager.lease(small) is Order.LEAVE
    manager.close_slot(small)
    assert manager.request_slot("another") is Order.WAIT


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), slots=st.integers(1, 5), troubled=st.booleans())
def test_whatever_dies_and_fails_every_trial_ends_once_and_after_its_parents(
    seed: int, slots: int, troubled: bool
) -> None:
    chance = random.Random(seed)
    trials = small_plan()
    manager = dispatcher(trials, slots=slots)
    by_id = {trial.id: trial for trial in trials}
    held: dict[str, tuple[Trial, ...]] = {}
    open_slots: dict[str, SlotShape] = {}
    ended: dict[str, bool] = {}
    interrupted: Counter[str] = Counter()
    failed_starts = 0
    for step in range(10_000):
        if manager.finished:
            break
        name = f"slot {step}"
        if isinstance(shape := manager.request_slot(name), SlotShape):
            open_slots[name] = shape
            manager.open_slot(name, shape, f"node {chance.randrange(2)}")
        slot = chance.choice(sorted(open_slots))
        if slot in held:
            job = held.pop(slot)
            fate = chance.random() if troubled else 1.0
            if fate < 0.1:
                manager.close_slot(slot, "its node is gone")
                del open_slots[slot]
                interrupted.update(trial.id for trial in job)
            elif fate < 0.2:
                manager.lose(slot, KILLED, [result(job[0])])
                ended[job[0].id] = True
                interrupted.update(trial.id for trial in job[1:])
            else:
                well = {trial.id: not troubled or chance.random() > 0.05 for trial in job}
                manager.settle(slot, [result(trial, None if well[trial.id] else "nan") for trial in job])
                ended |= well
        elif isinstance(lease := manager.lease(slot), Lease):
            busy = {trial.id for job in held.values() for trial in job}
            assert not {trial.id for trial in lease.trials} & (busy | set(ended))
            assert all(ended.get(parent) for trial in lease.trials for parent in trial.parents)
            assert len({trial.kind for trial in lease.trials}) == 1
            if lease.trials[0].kind == "measure" or any(j[0].kind == "measure" for j in held.values()):
                assert not held
            if troubled and failed_starts < MAX_FAILED_STARTS - 1 and chance.random() < 0.1:
                manager.lose(slot, KILLED)
                failed_starts += 1
            else:
                assert manager.begin(slot, lease.number, lease.trials)
                held[slot], failed_starts = lease.trials, 0
        elif lease is Order.LEAVE:
            manager.close_slot(slot)
            del open_slots[slot]
    events = manager.drain()
    given_up = {event.trial_id for event in events if isinstance(event, GivenUp)}
    blocked = [event.trial_id for event in events if isinstance(event, Blocked)]
    assert manager.finished
    assert len(set(blocked)) == len(blocked)
    assert sorted([*ended, *given_up, *blocked]) == sorted(by_id)
    started = Counter(trial for event in events if isinstance(event, Started) for trial in event.trial_ids)
    assert started == interrupted + Counter(list(ended)), "no more often than needed"


@pytest.mark.parametrize("count", [1_000, 10_000])
def test_the_cost_of_a_trial_does_not_grow_with_the_plan(count: int) -> None:
    trials = [finetune(f"f{n}") for n in range(count)]
    one = result(trials[0])
    manager = dispatcher(trials, slots=4)
    slot = opened(manager)
    began = time.process_time()
    while isinstance(lease := manager.lease(slot), Lease):
        manager.settle(slot, [one.model_copy(update={"trial_id": lease.trials[0].id})])
    assert (time.process_time() - began) / count < 0.02
    assert manager.finished
