"""The one training loop: a batch goes through the teacher once and feeds every member of a cohort.

    for each step:   batch -> teacher (eval, no autograd, no deeper than any member reads)
                     for each member: student -> objective -> AdamW

A member takes part from the step it has reached to its last one. What happens to one of them (NaN, out of
memory, a full disk) ends that one only. Preparing a teacher is this loop with one member and nobody to
teach it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from transformers import PreTrainedModel

from harness.corpora.stream import BatchStream
from harness.methods.loss import Activations, Batch, Needs
from harness.methods.objective import union
from harness.models.taps import Tapped
from harness.training.attempt import Outcome, Workplace
from harness.training.checkpoints import Cadence
from harness.training.faults import TrialInterruptedError
from harness.training.feed import Feed
from harness.training.held_out import HeldOut
from harness.training.member import Member
from harness.training.process_group import Alone


@dataclass(frozen=True)
class Course:
    """What all members of a run share."""

    teacher: PreTrainedModel | None
    """Placed on the device, frozen; None where nobody is taught."""
    stream: BatchStream
    """The input, a pure function of the step."""
    held_out: Sequence[Batch]
    """Batches of text that is not trained on, on the CPU."""


Finish = Callable[[Member, HeldOut], Outcome]
"""Exports a member that is done, given its held-out loss, and says what came of it."""


def train(members: list[Member], course: Course, workplace: Workplace, finish: Finish) -> None:
    """Take every member to its last step; each leaves its result as soon as it stands.

    Members leave the list as they end, so that their memory is free. Raises TrialInterruptedError, all
    members saved, where the workplace says stop; what concerns all (the teacher's pass, the input) is
    raised as it comes.
    """
    workers = workplace.workers
    company = _Company(members, workers)
    teacher = _Teacher(course.teacher)
    cadence = Cadence(least=workplace.checkpoint_seconds)
    with Feed(course.stream, workplace.torch_device) as feed:
        beginners = [member for member in members if member.step == 0]
        for member, held_out in _examine(beginners, company, teacher, course):
            member.before = held_out
        while members:
            done = [member for member in members if member.is_done]
            for member, held_out in _examine(done, company, teacher, course):
                with company.alone(member):
                    if workers.leads:
                        member.attempt.succeed(finish(member, held_out))
                company.leave(member)
            if not members:
                break
            _take_step(company, teacher, feed)
            stop, save = workers.decided(workplace.stop(), cadence.due)
            if stop:
                company.save()
                raise TrialInterruptedError(company.title, company.step)
            if save:
                cadence.run(company.save)


def _take_step(company: _Company, teacher: _Teacher, feed: Feed) -> None:
    """The next step of the members that are furthest back; the others wait for them."""
    started = time.monotonic()
    step = company.step
    taking_part = [member for member in company.members if member.step == step]
    with company.workers.together():
        host, batch = feed.at(step)
        batch = company.workers.share(batch)
        seen = teacher(batch, taking_part)
    tokens = host.tokens
    share = (time.monotonic() - started) / len(taking_part)
    for member in taking_part:
        with company.alone(member), member.attempt.training(share):
            member.advance(seen, batch, member.objective.counts(host), tokens)
            member.pass_milestone()


def _examine(
    members: Sequence[Member], company: _Company, teacher: _Teacher, course: Course
) -> Iterator[tuple[Member, HeldOut]]:
    """What each of the members makes of the held-out text, the teacher's pass shared. Each worker reads all of it."""
    tallies = {member: member.tally() for member in members}
    for host in course.held_out if tallies else ():
        with company.workers.together():
            batch = host.to(members[0].device)
            seen = teacher(batch, list(tallies))
        for member, tally in tallies.items():
            if member in company.members:
                with company.alone(member):
                    member.tell(tally, seen, batch)
    for member, tally in tallies.items():
        if member in company.members:
            yield member, tally.result()


class _Teacher:
    """The frozen teacher, tapped for whoever takes part."""

    def __init__(self, model: PreTrainedModel | None) -> None:
        self._model = model
        self._tapped: Tapped | None = None
        self._needs = Needs()

    def __call__(self, batch: Batch, members: Sequence[Member]) -> Activations:
        """What the members read of the teacher on `batch`; where they read nothing, nothing runs."""
        needs = union(member.objective.teacher_needs for member in members)
        if self._model is None or needs == Needs():
            return Activations()
        if self._tapped is None or needs != self._needs:
            self._tapped, self._needs = Tapped(self._model, needs, frozen=True), needs
        return self._tapped(batch)


class _Company:
    """The members under way."""

    def __init__(self, members: list[Member], workers: Alone) -> None:
        self.members = members
        self.workers = workers

    @property
    def step(self) -> int:
        """Steps done by the member that is furthest back."""
        return min((member.step for member in self.members), default=0)

    @property
    def title(self) -> str:
        """Who is here, for messages."""
        return "; ".join(member.attempt.trial.title for member in self.members)

    @contextmanager
    def alone(self, member: Member) -> Iterator[None]:
        """What goes wrong inside, in whichever worker, ends this member and no other."""
        with member.attempt.working():
            try:
                with self.workers.together():
                    yield
            except Exception as error:
                member.attempt.fail(error)
                self.leave(member)

    def leave(self, member: Member) -> None:
        """The member has ended, well or not."""
        if member in self.members:
            self.members.remove(member)

    def save(self) -> None:
        """Write a checkpoint of every member."""
        for member in list(self.members):
            with self.alone(member):
                member.save()
