"""What the dispatcher makes of failures, of workers and slots that are lost, and of an early end."""

from __future__ import annotations

from harness.records.result import Failure
from harness.schedule.dispatch.dispatcher import MAX_FAILED_STARTS, MAX_LOSSES, Lease, Order
from harness.schedule.dispatch.events import Blocked, Ended, GivenUp
from harness.schedule.dispatch.slot_shapes import SlotShape
from harness.spec.recipes import Resources
from tests.schedule.dispatching import KILLED, ONE, dispatcher, ids, opened, result, starts, taken_up
from tests.schedule.trials import distil, finetune, prepare


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
