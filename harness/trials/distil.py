"""Students of one teacher: built from their trials, trained together, exported with their cards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from harness.assets.fetch import opened
from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.figures import HeldOut
from harness.attempts.saved import Saved
from harness.attempts.site import Site
from harness.corpora.blocks import TokenBlocks, build_blocks
from harness.corpora.stream import BatchStream, held_out_batches
from harness.devices.placement import Resolved, attention_rule, place_student, place_teacher
from harness.errors import InputError
from harness.flops import BACKWARD
from harness.methods.loss import Needs
from harness.methods.objective import build_objective, union
from harness.models.export import export_model, model_card
from harness.models.loaded import LoadedModel
from harness.models.students import build_student
from harness.models.taps import operations
from harness.plan.work import head_positions
from harness.records.trial import DistilJob
from harness.training.held_out import uncorrupted
from harness.training.loop import SharedInputs, train
from harness.training.member import Member
from harness.training.optimise import optimiser_for
from harness.training.randomness import derived_seed
from harness.trials.card import start_row, training_rows, variance_kept
from harness.trials.load import load_source, parents_sha256
from harness.trials.unseen import unseen_inputs
from harness.trials.untrained import untrained_parts

HELD_OUT_BLOCKS = 256
"""Held-out blocks on which the loss is taken before and after training."""


def distil(attempts: Sequence[Attempt], site: Site) -> None:
    """Run one cohort (`harness.plan.cohorts`), each member to its result.

    A trial that goes on from a checkpoint keeps the precision it started in, whatever this machine would choose.
    """
    workers = site.workers
    by_precision: dict[Resolved, list[tuple[Attempt, Saved | None]]] = defaultdict(list)
    for attempt in attempts:
        try:
            with workers.together():
                saved = attempt.begin()
                precision = attempt.settle_precision(_job(attempt).recipe.precision, saved)
            start = (precision, saved.step if saved else 0)
            workers.require_same("where it starts (precision, step)", start)
        except Exception as error:
            attempt.fail(error)
            continue
        by_precision[precision].append((attempt, saved))
    for precision, cohort in by_precision.items():
        _Cohort(cohort, site, precision).run()


def _job(attempt: Attempt) -> DistilJob:
    job = attempt.trial.job
    assert isinstance(job, DistilJob)
    return job


class _Cohort:
    """Members of one precision."""

    def __init__(
        self, attempts: Sequence[tuple[Attempt, Saved | None]], site: Site, precision: Resolved
    ) -> None:
        self.attempts = attempts
        self.site = site
        self.precision = precision
        self.device = site.torch_device

    def run(self) -> None:
        """Build the members, train them, export them."""
        started = time.monotonic()
        workers = self.site.workers
        with workers.together():
            teacher, blocks, inputs = self._inputs()
        share = (time.monotonic() - started) / len(self.attempts)
        members = list(self._members(teacher, share))
        if any(member.learns_from_teacher for member in members):
            with workers.together():
                inputs = replace(inputs, teacher=place_teacher(teacher.model, self.device, self.precision))
        finish = partial(
            self._finish,
            teacher=teacher,
            reads=union(member.objective.teacher_needs for member in members),
            cohort=len(members),
            thin=blocks.flags,
        )
        train(members, inputs, self.site, finish)

    def _members(self, teacher: LoadedModel, share: float) -> Iterator[Member]:
        """A member for each attempt that can be built; `share`: seconds of each in what was done for all."""
        for attempt, saved in self.attempts:
            with attempt.working(share):
                try:
                    with self.site.workers.together():
                        member = self._member(attempt, saved, teacher)
                except Exception as error:
                    attempt.fail(error)
                    continue
            yield member

    def _inputs(self) -> tuple[LoadedModel, TokenBlocks, SharedInputs]:
        """The teacher as loaded, its text, and the shared inputs, still without the teacher: students are built from
        it before it is placed."""
        job = _job(self.attempts[0][0])
        if any(
            (_job(a).teacher, _job(a).corpus, _job(a).seed) != (job.teacher, job.corpus, job.seed)
            for a, _ in self.attempts
        ):
            raise ValueError("members of a cohort share teacher, corpus and seed (harness.plan.cohorts)")
        teacher = load_source(job.teacher, self.site)
        recipe = job.recipe
        teacher.require_length(recipe.length)
        blocks = build_blocks(
            job.corpus, teacher.tokenizer, teacher.tokenizer_sha256, recipe.length, self.site.sources
        )
        held_out = held_out_batches(blocks, recipe, max_blocks=HELD_OUT_BLOCKS)
        if recipe.input == "clean":
            held_out = [uncorrupted(batch) for batch in held_out]
        return (
            teacher,
            blocks,
            SharedInputs(None, BatchStream(blocks, recipe, job.seed, recipe.input), held_out),
        )

    def _member(self, attempt: Attempt, saved: Saved | None, teacher: LoadedModel) -> Member:
        job = _job(attempt)
        recipe, sources = job.recipe, self.site.sources
        for problem in job.method.problems(teacher.shape, job.student.shape(teacher.shape)):
            raise InputError(f"method {job.method.name}: {problem.message}")
        with opened(job.init.checkpoint, sources) if job.init.checkpoint else nullcontext() as files:
            model = build_student(
                teacher,
                job.student,
                job.init,
                seed=job.seed,
                dropout=recipe.dropout,
                checkpoint=files.path if files else None,
            )
        place_student(model, self.device)
        draws = torch.Generator().manual_seed(derived_seed(job.seed, "projections"))
        objective = build_objective(
            job.method.objective, teacher.shape, job.student.shape(teacher.shape), draws
        ).to(self.device)
        member = Member(
            attempt,
            model,
            objective,
            optimiser_for(model, objective, recipe),
            steps=recipe.steps,
            seed=job.seed,
            milestones=recipe.milestones,
            export=partial(self._export, teacher=teacher) if self.site.workers.leads else None,
        )
        member.state.restore(saved)
        return member

    def _export(self, member: Member, folder: Path, *, teacher: LoadedModel) -> str:
        """Write the student with its present weights; returns their SHA-256."""
        job = _job(member.attempt)
        parts = self._untrained(member)
        card = model_card(
            f"{job.method.name} {job.student.name}",
            summary=(
                f"A {job.student.layers}-layer, {job.student.width}-wide {teacher.shape.model_type} encoder, "
                f"made by `{job.method.name}` ({job.method.family}): {job.method.summary}"
            ),
            recipe={
                "objective": " + ".join(term.formula() for term in job.method.objective),
                "initialised from": start_row(
                    job.init, teacher.shape, job.student, variance_kept(job.init, job.student, teacher)
                ),
                **training_rows(member, job.recipe, job.seed),
            },
            provenance={
                "trial": member.attempt.trial.id,
                "teacher weights (SHA-256)": teacher.sha256,
                "corpus": f"{job.corpus.name} ({', '.join(job.corpus.languages)})",
                "tokens": member.state.tokens,
            },
            untrained=parts,
            unseen=self._unseen(member, teacher),
            mlm_head=job.method.trains_mlm_head,
            languages=job.corpus.languages,
        )
        return export_model(
            member.model, teacher.tokenizer, folder, mlm_head=job.method.trains_mlm_head, card=card
        )

    def _untrained(self, member: Member) -> list[str]:
        """Exported parts that are still as initialised."""
        whole = member.model if _job(member.attempt).method.trains_mlm_head else member.model.base_model
        prefix = "" if whole is member.model else f"{member.model.base_model_prefix}."
        own = {name.removeprefix(prefix) for name in member.untrained if name.startswith(prefix)}
        return untrained_parts(whole, own)

    def _unseen(self, member: Member, teacher: LoadedModel) -> tuple[str, ...]:
        """What a student that was trained never saw."""
        recipe = _job(member.attempt).recipe
        return unseen_inputs(teacher, recipe.length) if member.step else ()

    def _step_flops(self, member: Member, teacher: LoadedModel, reads: Needs, cohort: int) -> int:
        """Of one step: the student forward and backward, and its share of the teacher's pass."""
        job = _job(member.attempt)
        recipe = job.recipe
        size = (recipe.batch_size, recipe.length, head_positions(job.method, recipe))
        shared = operations(reads, teacher.shape, *size)
        own = operations(member.objective.student_needs, job.student.shape(teacher.shape), *size)
        return shared // cohort + (1 + BACKWARD) * own

    def _finish(
        self,
        member: Member,
        held_out: HeldOut,
        *,
        teacher: LoadedModel,
        reads: Needs,
        cohort: int,
        thin: tuple[str, ...],
    ) -> Outcome:
        job = _job(member.attempt)
        sha256 = self._export(member, member.attempt.folder.model, teacher=teacher)
        kept = variance_kept(job.init, job.student, teacher)
        return Outcome(
            precision=self.precision,
            kernels={
                "student attention": attention_rule(self.device, teacher.shape.model_type, trains=True),
                "teacher attention": attention_rule(self.device, teacher.shape.model_type, trains=False),
                "optimiser": "fused AdamW",
            },
            tokens=member.state.tokens,
            flops=member.step * self._step_flops(member, teacher, reads, cohort),
            weights_sha256=sha256,
            measurements=held_out.measurements() if job.method.trains_mlm_head else (),
            flags=(*member.flags, *thin),
            facts={
                "steps": member.step,
                **({} if kept is None else {"embedding_variance_kept": kept}),
                "held_out_before": member.state.before.as_json() if member.state.before else None,
                "held_out_after": held_out.as_json(),
                "untrained": self._untrained(member),
                "unseen": list(self._unseen(member, teacher)),
                "term_shares": [shares.as_json() for shares in member.state.shares.values()],
                "cohort": cohort,
                "workers": sorted(member.state.workers),
            },
            parents_sha256=parents_sha256(job.teacher, teacher),
        )
