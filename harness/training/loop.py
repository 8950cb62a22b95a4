"""The training loop of a cohort: a batch goes through the teacher once and feeds every member.

    for each step:   batch -> teacher (eval, no autograd, no deeper than any member reads)
                     for each member: student -> objective -> AdamW

A member takes part from the step it has reached to its last one. What goes wrong in one of them (NaN, out of memory, a
full disk) ends that one only. Preparing a teacher is this loop with one member and no teacher. Fine-tuning has a loop
of its own (`harness.trials.finetune`), over epochs, on the same `TrainingState`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from transformers import PreTrainedModel

from harness.attempts.attempt import Outcome
from harness.attempts.cadence import Cadence, stop_or_save
from harness.attempts.faults import TrialInterruptedError
from harness.attempts.figures import HeldOut
from harness.attempts.process_group import Alone
from harness.attempts.site import Site
from harness.corpora.stream import BatchStream
from harness.devices.device import free_cached
from harness.methods.loss import Activations, Batch, Needs
from harness.methods.objective import union
from harness.models.taps import Tapped
from harness.training.feed import Feed
from harness.training.held_out import HeldOutSums
from harness.training.member import Member
from harness.training.micro_batches import MicroBatches, joined


@dataclass(frozen=True)
class SharedInputs:
    """What all members of a cohort read."""

    teacher: PreTrainedModel | None
    """Placed on the device, frozen; None where no term reads one."""
    stream: BatchStream
    """The training batches, a pure function of the step."""
    held_out: Sequence[Batch]
    """Batches of text that is not trained on, on the CPU."""


Finish = Callable[[Member, HeldOut], Outcome]
"""Exports a member that is done and returns its outcome; given what it makes of the held-out text."""


def train(members: list[Member], inputs: SharedInputs, site: Site, finish: Finish) -> None:
    """Take every member to its last step; each result is written as soon as its member ends.

    Members leave the list as they end, so that their memory is free. Raises TrialInterruptedError, all members saved,
    where the site says stop; errors in what all share (the teacher's pass, the input) are raised as they are.
    """
    cohort = _Members(members, site.workers)
    teacher = _Teacher(inputs.teacher)
    cadence = Cadence(least=site.checkpoint_seconds)
    with Feed(inputs.stream, site.torch_device) as feed:
        _begin(cohort, teacher, inputs)
        while members:
            _end_those_done(cohort, teacher, inputs, finish)
            if not members:
                break
            _take_step(cohort, teacher, feed)
            stop_or_save(site, cadence, cohort.save, cohort.interrupted)


def _begin(cohort: _Members, teacher: _Teacher, inputs: SharedInputs) -> None:
    """Take the held-out figures of members that have not begun."""
    beginners = [member for member in cohort.members if member.step == 0]
    for member, held_out in _examine(beginners, cohort, teacher, inputs):
        member.state.before = held_out


def _end_those_done(cohort: _Members, teacher: _Teacher, inputs: SharedInputs, finish: Finish) -> None:
    """Write the results of members that have taken their last step."""
    done = [member for member in cohort.members if member.is_done]
    for member, held_out in _examine(done, cohort, teacher, inputs):
        with cohort.alone(member):
            if cohort.workers.leads:
                member.attempt.succeed(finish(member, held_out).with_flags(teacher.flags))
        cohort.leave(member)


def _take_step(cohort: _Members, teacher: _Teacher, feed: Feed) -> None:
    """The next step of the members that are furthest back; the others wait for them."""
    started = time.monotonic()
    step = cohort.step
    taking_part = [member for member in cohort.members if member.step == step]
    with cohort.workers.together():
        host, batch = feed.at(step)
        batch = cohort.workers.share(batch)
        seen = teacher(batch, taking_part)
    tokens = host.tokens
    share = (time.monotonic() - started) / len(taking_part)
    for member in taking_part:
        with cohort.alone(member), member.attempt.training(share):
            member.advance(seen, batch, member.objective.counts(host), tokens)
            member.pass_milestone()


def _examine(
    members: Sequence[Member], cohort: _Members, teacher: _Teacher, inputs: SharedInputs
) -> Iterator[tuple[Member, HeldOut]]:
    """Each member on the held-out text, the teacher's pass shared. Every worker reads all of it."""
    sums = {member: HeldOutSums(member.objective) for member in members}
    for host in inputs.held_out if sums else ():
        with cohort.workers.together():
            batch = host.to(members[0].device)
            seen = teacher(batch, list(sums))
        for member, own in sums.items():
            if member in cohort.members:
                with cohort.alone(member):
                    sums[member] = member.add_held_out(own, seen, batch)
    for member, own in sums.items():
        if member in cohort.members:
            yield member, own.result()


class _Teacher:
    """The frozen teacher, tapped for the members that take part."""

    def __init__(self, model: PreTrainedModel | None) -> None:
        self._model = model
        self._micro_batches = MicroBatches()
        self._tapped: Tapped | None = None
        self._needs = Needs()

    def __call__(self, batch: Batch, members: Sequence[Member]) -> Activations:
        """What the members read of the teacher on `batch`, made in micro-batches where memory runs out; where they
        read nothing, nothing runs."""
        needs = union(member.objective.teacher_needs for member in members)
        if self._model is None or needs == Needs():
            return Activations()
        if self._tapped is None or needs != self._needs:
            self._tapped, self._needs = Tapped(self._model, needs, frozen=True), needs
        tapped, device = self._tapped, batch.input_ids.device
        return self._micro_batches.run(
            batch.examples,
            lambda rows: joined([tapped(part) for part in batch.split(rows or batch.examples)]),
            lambda: free_cached(device),
        )

    @property
    def flags(self) -> tuple[str, ...]:
        """For the results of all members."""
        return tuple(f"teacher_{flag}" for flag in self._micro_batches.flags)


class _Members:
    """The members that are still training."""

    def __init__(self, members: list[Member], workers: Alone) -> None:
        self.members = members
        self.workers = workers

    @property
    def step(self) -> int:
        """Steps done by the member that is furthest back."""
        return min((member.step for member in self.members), default=0)

    def interrupted(self) -> TrialInterruptedError:
        """What a stop raises: it names every trial under way."""
        title = "; ".join(member.attempt.trial.title for member in self.members)
        return TrialInterruptedError(title, self.step)

    @contextmanager
    def alone(self, member: Member) -> Iterator[None]:
        """An error inside, in any worker, ends this member and no other."""
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
                member.state.save()
