"""The dispatcher keeps order, limits and exclusiveness whatever happens to its slots."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records.trial import Trial
from harness.schedule.dispatch.dispatcher import MAX_FAILED_STARTS, Dispatcher, Lease, Order
from harness.schedule.dispatch.events import Blocked, GivenUp, Started
from harness.schedule.dispatch.slot_shapes import Capacity, SlotShape
from harness.schedule.dispatch.workload import Workload
from harness.spec.recipes import Resources
from tests.schedule.dispatching import ALONE, KILLED, ONE, dispatcher, ids, opened, result
from tests.schedule.trials import distil, finetune, measure, prepare, small_plan


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
