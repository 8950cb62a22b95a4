"""The time left is a number at every moment of a run, ends at nothing, and follows what the run shows."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices import provenance
from harness.plan import cohorts
from harness.plan.cost import Estimate, Speed
from harness.records.result import Failure, Progress, Result
from harness.records.trial import Trial
from harness.schedule.dispatch.rehearsal import Job, Machines, Rehearsal, clock_seconds
from harness.schedule.dispatch.slot_shapes import Node
from harness.schedule.dispatch.workload import Workload
from harness.schedule.outlook import Outlook
from harness.spec.recipes import Resources
from tests.schedule.trials import distil, finetune, prepare, small_plan

BEHIND = provenance.collect(device="cpu", precision="fp32", threads=1)
TWO = Machines((Node("n", 2),))
STEPS = 10

Event = tuple[float, Callable[[Outlook], None]]
"""When, and what the outlook is told."""


def ended(trial: Trial, seconds: float, well: bool = True, cohort: int = 1) -> Result:
    return Result(
        trial_id=trial.id, kind=trial.kind, status="ok" if well else "failed", started_at=0.0, finished_at=1.0,
        seconds=seconds, provenance=BEHIND, facts={"cohort": cohort},
        error=None if well else Failure(reason="nan", message="nan"),
    )  # fmt: skip


def line(step: int, at: float) -> Progress:
    return Progress(step=step, steps=STEPS, loss=1.0, learning_rate=0.1, tokens_per_second=1.0, at=at)


class Run:
    """A run in which everything takes `slower` times as long as estimated."""

    def __init__(self, trials: list[Trial], slower: float) -> None:
        self.estimate = Estimate({trial.id: trial for trial in trials}, Speed())
        self.slower = slower
        load = Workload(trials, cohorts=cohorts(trial for trial in trials if trial.kind == "distil"))
        self.jobs = Rehearsal(load, TWO).play(lambda some: sum(self.phases(some)))
        self.end = clock_seconds(self.jobs)

    def phases(self, trials: Sequence[Trial]) -> tuple[float, float, float]:
        """Seconds that trials of one worker take before, in and after their steps."""
        parts = [self.estimate.parts(trial, len(trials)).times(self.slower) for trial in trials]
        return sum(p.before for p in parts), sum(p.steps for p in parts), sum(p.after for p in parts)

    def events(self, failing: float = 0.0, chance: random.Random | None = None) -> list[Event]:
        """What happens, in order; some trials fail, and their descendants never start."""
        events: list[Event] = []
        lost: set[str] = set()
        for job in sorted(self.jobs, key=lambda one: one.begins):
            if any(parent in lost for trial in job.trials for parent in trial.parents):
                lost |= {trial.id for trial in job.trials}
                continue
            for number, trial in enumerate(job.trials):
                well = chance is None or chance.random() >= failing
                lost |= set() if well else {trial.id}
                events += self._of(job, number, well)
        return sorted(events, key=lambda one: one[0])

    def _of(self, job: Job, number: int, well: bool) -> Iterator[Event]:
        """A trial starts, takes its steps beside the others of its job, and ends a moment before the next one."""
        trial, count = job.trials[number], len(job.trials)
        before, steps, after = self.phases(job.trials)
        began = job.ends - before - steps - after  # its worker had to start first
        beside = [other for other in job.trials if other is not trial]
        yield began, lambda outlook: outlook.started(trial, began, beside)
        for step in range(1, STEPS + 1):
            progress = line(step, began + before + steps * step / STEPS)
            yield progress.at, partial(lambda told, outlook: outlook.update(trial.id, told), progress)
        result = ended(trial, (before + steps + after) / count, well, count)
        yield job.ends - 1e-6 * (count - number), lambda outlook: outlook.ended(result)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6), failing=st.sampled_from([0.0, 0.2]), slower=st.sampled_from([0.2, 1.0, 7.0])
)
def test_on_every_prefix_the_time_left_is_a_number_and_at_the_end_it_is_nothing(
    seed: int, failing: float, slower: float
) -> None:
    chance = random.Random(seed)
    trials = small_plan(Resources(cpus=chance.choice([1, 2])))
    outlook = Outlook(trials, 0.0, TWO, stopwatch=lambda: 0.0)
    assert outlook.seconds_left(0.0) > 0
    for at, tell in Run(trials, slower).events(failing, chance):
        tell(outlook)
        left = outlook.seconds_left(at)
        assert math.isfinite(left)
        assert left >= 0
        assert left > 0 or not outlook.running
        assert failing or (left > 0) == outlook.unfinished
        for running in outlook.running.values():
            assert 0 <= outlook.trial_seconds_left(running, at) < math.inf
    assert outlook.seconds_left(1e9) == 0
    assert not outlook.running


@pytest.mark.parametrize("slower", [1.0, 3.0, 0.3])
def test_however_wrong_the_estimate_a_third_into_the_run_the_time_left_is_right(slower: float) -> None:
    trials = small_plan()
    run = Run(trials, slower)
    outlook = Outlook(trials, 0.0, TWO, stopwatch=lambda: 0.0)
    for at, tell in run.events():
        tell(outlook)
        if run.end / 3 < at:
            assert outlook.seconds_left(at) == pytest.approx(run.end - at, rel=0.2, abs=0.05 * run.end)


def test_where_nothing_happens_the_time_left_counts_down() -> None:
    outlook = Outlook([prepare()], 0.0, TWO, stopwatch=iter([0.0, 1.0]).__next__)  # a second to work out
    first = outlook.seconds_left(10.0)
    assert [outlook.seconds_left(at) for at in (10.0, 11.0, 20.0)] == [first, first - 1, first - 10]


@given(
    step=st.integers(1, STEPS - 2),
    pause=st.floats(1.0, 1e6),
    pace=st.floats(0.1, 100.0),
    again=st.integers(0, 1),
)
def test_what_an_interrupted_trial_waited_for_is_no_part_of_its_pace(
    step: int, pause: float, pace: float, again: int
) -> None:
    (trial,) = [prepare()]
    outlook = Outlook([trial], pause, TWO)
    outlook.started(trial, pause)
    fresh = outlook.trial_seconds_left(outlook.running[trial.id], pause)
    outlook.update(trial.id, line(step, 0.0))  # the last line of the run before, which its reader begins with
    resumed = outlook.trial_seconds_left(outlook.running[trial.id], pause)
    assert resumed < fresh
    for number in (1, 2):  # from the checkpoint, which may lie a step behind
        outlook.update(trial.id, line(step + number - again, pause + number * pace))
    left = outlook.trial_seconds_left(outlook.running[trial.id], pause + 2 * pace)
    assert left == pytest.approx(pace * (STEPS - step - 2 + again))


def test_a_cohort_takes_as_long_as_its_slowest_member_not_as_all_together() -> None:
    students = [distil(f"s{n}") for n in range(3)]
    outlook = Outlook(students, 0.0, TWO, stopwatch=lambda: 0.0)
    for student in students:
        outlook.started(student, 0.0, [other for other in students if other is not student])
    for student in students:
        for step in (1, 2):
            outlook.update(student.id, line(step, 100.0 * step))
    after = sum(Estimate({}, Speed()).parts(student, 3).after for student in students)
    assert 800 < outlook.seconds_left(200.0) < 800 + 100 * after


def test_failed_trials_and_what_waits_for_them_are_not_left() -> None:
    teacher = prepare()
    outlook = Outlook([teacher, *(finetune(f"f{n}", teacher) for n in range(3))], 0.0, TWO)
    outlook.started(teacher, 0.0)
    outlook.ended(ended(teacher, 1.0, well=False))
    assert outlook.seconds_left(1.0) == 0


def test_a_trial_that_starts_again_is_one_running_trial() -> None:
    first, second = distil("a"), distil("b")
    outlook = Outlook([first, second], 0.0, TWO)
    outlook.started(first, 0.0, [second])
    outlook.started(second, 0.0, [first])
    outlook.started(first, 50.0)  # its worker was lost, and the cohort divided
    outlook.started(second, 50.0)
    assert len(outlook.running) == 2
    assert outlook.seconds_left(50.0) > 0
    for trial in (first, second):
        outlook.ended(ended(trial, 1.0))
    assert outlook.seconds_left(51.0) == 0


def test_more_machines_shorten_the_run_and_too_small_ones_are_ignored() -> None:
    trials = [finetune(f"f{n}", resources=Resources(cpus=2)) for n in range(8)]
    outlook = Outlook(trials, 0.0)
    assert outlook.machines is None
    alone = outlook.seconds_left(0.0)
    outlook.set_machines(Machines((Node("n", 1),)))
    assert outlook.machines is None
    outlook.set_machines(Machines((Node("n", 16),)))
    assert outlook.seconds_left(0.0) < alone / 3
