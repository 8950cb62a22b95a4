"""Students without a method: no cores, no cohort, no waiting."""

from __future__ import annotations

import pytest

from harness.plan import cohorts
from harness.records.trial import DistilJob, ModelSource, Start, Trial
from harness.schedule.dispatch.dispatcher import Lease
from harness.schedule.dispatch.events import Ended
from harness.schedule.dispatch.slot_shapes import Node, SlotShape
from harness.spec.entries import Method
from harness.spec.recipes import Resources
from tests.schedule.dispatching import dispatcher, ids, opened, result
from tests.schedule.trials import distil, prepare


def control(name: str, parent: Trial, start: Start | None, resources: Resources) -> Trial:
    """A student that nothing trains."""
    trial = distil(name, parent, resources=resources)
    assert isinstance(trial.job, DistilJob)
    method = Method(name="none", family="control")
    return trial.model_copy(update={"job": trial.job.model_copy(update={"method": method}), "start": start})


@pytest.mark.parametrize(
    "asked", [Resources(), Resources(cpus=2, concurrency=1), Resources(gpus=1, workers=2)]
)
def test_controls_hold_no_cores_and_wait_only_for_what_they_copy(asked: Resources) -> None:
    teacher = prepare(resources=asked.model_copy(update={"workers": 1}))
    trained = distil("trained", resources=asked)
    job = trained.job
    assert isinstance(job, DistilJob)
    begin = Start(teacher=job.teacher, student=job.student, init=job.init, seed=1)
    copying = begin.model_copy(update={"teacher": ModelSource(trial=teacher.id)})
    free, waiting = control("free", teacher, begin, asked), control("waiting", teacher, copying, asked)
    trials = [teacher, trained, free, waiting]
    assert {SlotShape.of(free), SlotShape.of(waiting)} == {SlotShape(0)}
    assert sorted(map(len, cohorts(trials))) == [1, 1, 1]
    machine = Node("n", cpus=4, gpus=2)
    assert machine.slots(SlotShape(0)) == 1
    manager = dispatcher(trials, slots=1)
    busy = opened(manager, SlotShape.of(trained), "busy")
    while isinstance(order := manager.lease(busy), Lease) and trained.id not in ids(order):
        manager.settle(
            busy, [result(trial) for trial in order.trials]
        )  # the teacher, where it has the same shape
    beside = opened(manager, SlotShape(0), "beside")
    leased: set[str] = set()
    while isinstance(order := manager.lease(beside), Lease):
        leased |= ids(order)
        manager.settle(beside, [result(trial) for trial in order.trials])
    ended = {event.result.trial_id for event in manager.drain() if isinstance(event, Ended)}
    assert leased == {free.id} | ({waiting.id} if teacher.id in ended else set())
