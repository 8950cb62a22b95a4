"""One student beside its teacher on held-out text: similarity of layers, divergence of relations, transfer of losses.

The text is that on which distillation takes its held-out loss, corrupted alike. Every pass runs both models once over
it, in fp32; nothing is saved on the way, as a trial takes seconds to minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.attempts.attempt import Attempt, Outcome
from harness.attempts.faults import TrialInterruptedError
from harness.attempts.site import Site
from harness.corpora.blocks import build_blocks
from harness.corpora.stream import held_out_batches
from harness.devices.placement import attention_rule, place_student, place_teacher
from harness.errors import InputError
from harness.methods.loss import QKV, Activations, Batch, Needs, TermLoss
from harness.methods.losses.relations import named
from harness.methods.numerics.cka import CkaSums
from harness.methods.numerics.least_squares import NormalEquations
from harness.methods.numerics.pairwise import kl_rows, score_loss
from harness.methods.objective import Objective, build_objective
from harness.models.loaded import LoadedModel
from harness.models.taps import Tapped
from harness.records.analysis import Analysis, Matrix, Measure, Transfer
from harness.records.trial import AnalyseJob
from harness.spec.entries import Method
from harness.training.held_out import TermSums, uncorrupted
from harness.training.randomness import derived_seed
from harness.trials.load import load_source, parents_sha256

SEED = 0
"""Of projections before they are fitted, and of mappings that are drawn."""
RELATIONS: tuple[Measure, ...] = ("qq", "kk", "vv")


def analyse(attempt: Attempt, site: Site) -> None:
    """Run the trial to its result. InputError where no held-out block is there, or relation heads do not fit."""
    job = attempt.trial.job
    assert isinstance(job, AnalyseJob)
    with attempt.working():
        attempt.begin()
        attempt.precision = "fp32"
        teacher, student = load_source(job.teacher, site), load_source(job.student, site)
        heads = job.recipe.relation_heads
        if teacher.shape.width % heads or student.shape.width % heads:
            widths = f"{student.shape.width} (student) and {teacher.shape.width} (teacher)"
            raise InputError(f"analyse: relation_heads {heads} does not divide the widths {widths}")
        pair = _Pair(attempt, job, teacher, student)
        attempt.succeed(
            Outcome(
                precision="fp32",
                kernels={
                    "attention": attention_rule(site.torch_device, teacher.shape.model_type, trains=False)
                },
                analysis=pair.analysis(),
                parents_sha256=parents_sha256(job.teacher, teacher) | parents_sha256(job.student, student),
            )
        )


@dataclass(frozen=True)
class _Seen:
    """One batch as both models see it."""

    teacher: Activations
    student: Activations
    batch: Batch

    def rows(self, start: int) -> _Seen:
        """Every second example, from `start`."""
        part = slice(start, None, 2)
        batch = Batch(
            self.batch.input_ids[part],
            self.batch.attention_mask[part],
            self.batch.labels[part],
            self.batch.padded,
        )
        return _Seen(_examples(self.teacher, part), _examples(self.student, part), batch)


class _Pair:
    """A student and its teacher on the device, and the text they are compared on."""

    def __init__(self, attempt: Attempt, job: AnalyseJob, teacher: LoadedModel, student: LoadedModel) -> None:
        site = attempt.site
        self.attempt, self.job = attempt, job
        self.shapes = (teacher.shape, student.shape)
        self.transfers = [_transfer(method, teacher, student) for method in job.objectives]
        blocks = build_blocks(
            job.corpus, teacher.tokenizer, teacher.tokenizer_sha256, job.text.length, site.sources
        )
        batches = held_out_batches(blocks, job.text, max_blocks=job.recipe.blocks)
        if not batches:
            raise InputError(
                f"analyse: the held-out documents of {job.corpus.name} fill no block of {job.text.length} tokens"
            )
        self.batches = batches if job.text.input == "masked" else [uncorrupted(batch) for batch in batches]
        self._special = torch.tensor(blocks.vocabulary.special)
        device = site.torch_device
        place_teacher(teacher.model, device, "fp32")
        place_student(student.model, device).requires_grad_(False)
        self._teacher = Tapped(
            teacher.model, _everything(teacher.shape.layers, self._reads("teacher")), frozen=True
        )
        self._student = Tapped(
            student.model, _everything(student.shape.layers, self._reads("student")), frozen=True
        )

    def _reads(self, model: str) -> bool:
        """Whether an objective reads the masked-LM head."""
        needs = (getattr(one.halves[0], f"{model}_needs") for one in self.transfers if not one.missing)
        return any(one.mlm for one in needs)

    def analysis(self) -> Analysis:
        """All comparisons, in three passes at most: compare and fit, fit again by refreshed mappings, measure."""
        cka, relations = CkaSums(), _RelationSums(self.job.recipe.relation_heads)
        fitted = [one for one in self.transfers if one.fits]
        for seen in self._passed():
            real = self._counted(seen.batch)
            cka.add(_layers(seen.student, real), _layers(seen.teacher, real))
            relations.add(seen)
            for one in self.transfers:
                one.fit(seen) if one.fits else one.measure(seen)
        for one in fitted:
            one.settle()
        moving = [one for one in fitted if one.moves]
        for seen in self._passed() if moving else ():
            for one in moving:
                one.observe(seen)
        for one in moving:
            one.refresh()
        for seen in self._passed() if moving else ():
            for one in moving:
                one.fit(seen)
        for one in moving:
            one.settle()
        for seen in self._passed() if fitted else ():
            for one in fitted:
                one.measure(seen)
        layers: dict[Measure, Matrix] = {"cka": _matrix(cka.result()), **relations.result()}
        return Analysis(
            blocks=sum(batch.examples for batch in self.batches),
            tokens=cka.rows,
            relation_heads=self.job.recipe.relation_heads,
            layers=layers,
            transfers=tuple(one.result() for one in self.transfers),
        )

    @torch.no_grad()
    def _passed(self) -> Iterator[_Seen]:
        """Every batch through both models. Raises TrialInterruptedError where the site says stop."""
        site = self.attempt.site
        for number, host in enumerate(self.batches):
            if site.stop():
                raise TrialInterruptedError(self.attempt.trial.title, number)
            batch = host.to(site.torch_device)
            yield _Seen(self._teacher(batch), self._student(batch), batch)

    def _counted(self, batch: Batch) -> Tensor:
        """(batch, tokens) True at real positions whose true token is not a special one, corrupted or not."""
        true = torch.where(batch.masked_positions, batch.labels, batch.input_ids)
        return batch.attention_mask & ~torch.isin(true, self._special.to(true.device))


class _RelationSums:
    """Divergence of relations, every student layer with every teacher layer."""

    def __init__(self, heads: int) -> None:
        self._heads = heads
        self._examples = 0
        self._sums: dict[Measure, dict[tuple[int, int], float]] = {one: {} for one in RELATIONS}

    def add(self, seen: _Seen) -> None:
        """Add one batch: the mean KL over rows and heads, summed over examples."""
        mask = seen.batch.attention_mask if seen.batch.padded else None
        self._examples += seen.batch.examples
        for relation, sums in self._sums.items():
            for i, own in seen.student.qkv.items():
                for j, theirs in seen.teacher.qkv.items():
                    loss = score_loss(
                        named(own, relation), named(theirs, relation), self._heads, mask, kl_rows
                    )
                    sums[i, j] = sums.get((i, j), 0.0) + float(loss)

    def result(self) -> dict[Measure, Matrix]:
        """Means over examples."""
        return {
            relation: _matrix(
                [
                    [sums[i, j] / self._examples for j in sorted({j for _, j in sums})]
                    for i in sorted({i for i, _ in sums})
                ]
            )
            for relation, sums in self._sums.items()
        }


@dataclass
class _Transfer:
    """One objective on the student. Matrices and moving mappings are fitted on every second example and measured on
    the others, and the other way round, so that every example is measured; an objective without either is
    measured as it is."""

    method: Method
    halves: tuple[Objective, ...] = ()
    """One objective, or two that are fitted apart."""
    missing: str = ""
    equations: tuple[NormalEquations, ...] = ()
    sums: tuple[TermSums, ...] = ()
    observed: list[dict[str, Tensor]] = field(default_factory=list)
    counts: list[dict[str, int]] = field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether anything of it is fitted."""
        return len(self.halves) > 1

    @property
    def moves(self) -> bool:
        """Whether a mapping is re-computed, or a blend depends on a projection."""
        return self.fits and any(
            getattr(term, "weights", None) is not None for term in _terms(self.halves[0])
        )

    def fit(self, seen: _Seen) -> None:
        """Add a batch to the normal equations of both halves."""
        for half, objective in enumerate(self.halves):
            part = seen.rows(half)
            for term in _terms(objective):
                self.equations[half].add(term.regressions(part.teacher, part.student, part.batch))

    def settle(self) -> None:
        """Write the fitted matrices."""
        for equations in self.equations:
            equations.solve()

    def observe(self, seen: _Seen) -> None:
        """Add a batch to what refreshes look at."""
        for half, objective in enumerate(self.halves):
            part = seen.rows(half)
            for name, value in objective.observe(
                objective.due(0), part.teacher, part.student, part.batch
            ).items():
                self.observed[half][name] = self.observed[half].get(name, 0) + value
            for name, count in objective.counts(part.batch).items():
                self.counts[half][name] = self.counts[half].get(name, 0) + count

    def refresh(self) -> None:
        """Re-compute the mappings."""
        for half, objective in enumerate(self.halves):
            draws = torch.Generator().manual_seed(derived_seed(SEED, "mappings"))
            objective.refresh(objective.due(0), self.observed[half], self.counts[half], draws)

    def measure(self, seen: _Seen) -> None:
        """Add a batch to the losses: all of it, or for each half the examples that it was not fitted on."""
        for half, sums in enumerate(self.sums):
            part = seen.rows(1 - half) if self.fits else seen
            if part.batch.examples:
                sums.add(part.teacher, part.student, part.batch)

    def result(self) -> Transfer:
        """The loss over all examples."""
        if self.missing:
            return Transfer(objective=self.method.name, loss=None, missing=self.missing)
        sums = self.sums[0].merged(self.sums[1]) if self.fits else self.sums[0]
        loss, terms = sums.result()
        known = loss is not None and math.isfinite(loss)
        return Transfer(
            objective=self.method.name,
            loss=loss if known else None,
            terms={name: value if math.isfinite(value) else None for name, value in terms.items()},
            fitted=tuple(
                name for name, term in self.halves[0].terms.items() if any(True for _ in term.parameters())
            ),
            missing="" if known else "its loss is not finite",
        )


def _transfer(method: Method, teacher: LoadedModel, student: LoadedModel) -> _Transfer:
    """The objective of `method`, or why the student cannot be measured by it."""
    for problem in method.problems(teacher.shape, student.shape):
        return _Transfer(method, missing=problem.message)

    def build() -> Objective:
        draws = torch.Generator().manual_seed(derived_seed(SEED, "projections"))
        made: Objective = build_objective(method.objective, teacher.shape, student.shape, draws)
        return made.to(device=next(student.model.parameters()).device)

    objective = build()
    if objective.student_needs.mlm and not student.shape.mlm_head:
        return _Transfer(method, missing="the student has no trained masked-LM head")
    own = [term for term in _terms(objective) if any(True for _ in term.parameters())]
    for term in own:
        if type(term).regressions is TermLoss.regressions:
            return _Transfer(method, missing=f"the matrices of {term.params.term} have no closed-form fit")
    halves = (objective, build()) if own or objective.due(0) else (objective,)
    return _Transfer(
        method,
        halves,
        equations=tuple(NormalEquations() for _ in halves),
        sums=tuple(TermSums(one) for one in halves),
        observed=[{} for _ in halves],
        counts=[{} for _ in halves],
    )


def _terms(objective: Objective) -> list[TermLoss]:
    return [term for term in objective.terms.values() if isinstance(term, TermLoss)]


def _everything(layers: int, mlm: bool) -> Needs:
    """States of all layers, the embeddings' among them, and all projections."""
    return Needs(frozenset(range(layers + 1)), frozenset(range(1, layers + 1)), mlm)


def _layers(seen: Activations, chosen: Tensor) -> list[Tensor]:
    """States at chosen positions, layer by layer, each (positions, width)."""
    return [seen.hidden[layer][chosen] for layer in sorted(seen.hidden)]


def _examples(seen: Activations, part: slice) -> Activations:
    return Activations(
        hidden={layer: state[part] for layer, state in seen.hidden.items()},
        qkv={layer: QKV(one.query[part], one.key[part], one.value[part]) for layer, one in seen.qkv.items()},
        mlm=seen.mlm,
        heads=seen.heads,
        layers=seen.layers,
    )


def _matrix(values: Sequence[Sequence[float | None]]) -> Matrix:
    return tuple(
        tuple(one if one is not None and math.isfinite(one) else None for one in row) for row in values
    )
