"""Seconds of a trial by phase: before its steps, the steps, and after them. For estimates only.

A processor pays for matrix products by its matmul peak, and for what lies between them (normalisation, activations, the
optimiser) by memory and vector speed, which differ less from machine to machine: a narrow student pays mostly for the
latter. A GPU is taken to reach one share of its peak in all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from harness.flops import BACKWARD, forward_flops, head_flops
from harness.plan.work import Work, head_positions, rows_selecting, shape_of
from harness.records.trial import AnalyseJob, DistilJob, FinetuneJob, MeasureJob, PrepareJob, Trial
from harness.shapes import Shape
from harness.spec.entries import Method

TRAINING = 1 + BACKWARD
"""A forward and a backward pass, in forward passes."""
PREPARE_HELD_OUT, DISTIL_HELD_OUT = 512, 256
"""Held-out blocks on which `prepare` and `distil` take their loss before and after training."""
MODEL_START = {"prepare": 6.0, "distil": 2.0, "finetune": 0.9, "analyse": 4.0, "measure": 1.5}
"""Seconds to load models and inputs; students that share a teacher pass share them too."""
MODEL_END = {"prepare": 1.0, "distil": 0.7, "finetune": 0.3, "analyse": 0.1, "measure": 0.1}
"""Seconds to score and to write what is kept."""
STEP = 2.5e-3
"""Seconds of a step that do not depend on its size."""
ROW = 5e-5
"""Seconds to read, batch and score a row of a task."""


@dataclass(frozen=True)
class Parts:
    """Seconds of a trial."""

    before: float
    """Loading, and the held-out text before training."""
    steps: float
    """Training, with the predictions that choose an epoch."""
    after: float
    """The last predictions or the held-out text after training, and writing."""

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.before + self.steps + self.after

    def times(self, factor: float) -> Parts:
        """Each part `factor` times as long."""
        return Parts(self.before * factor, self.steps * factor, self.after * factor)


class Device(Protocol):
    """What a trial runs on."""

    def encoder(self, flops: float, width: int) -> float:
        """Seconds of so many operations in Transformer layers of this width."""

    def head(self, shape: Shape, positions: int, passes: int) -> float:
        """Seconds of a masked-LM head: forward (1 pass), or with its backward pass too (3)."""

    def update(self, weights: int) -> float:
        """Seconds of clipping and AdamW."""

    def relations(self, scores: int) -> float:
        """Seconds of comparing so many attention or relation scores of teacher and student, with gradient."""


@dataclass(frozen=True)
class Processor:
    """Processor cores. The figures were fitted to single steps of BERT encoders of width 96 to 768 on one core, by
    processor time, and agree with them within 15 %."""

    peak: float
    """Operations a second of a large matrix product, on all cores of the trial."""
    cores: int = 1
    gap: float = 1.2e-9
    """Seconds of work between the products of a layer, for each operation over the width."""
    logit: float = 2.7e-9
    """Seconds a logit and pass of the softmax over the vocabulary."""
    row: float = 4e-9
    """Seconds a weight of the decoder matrix, whose gradient is written whole in every step."""
    weight: float = 1.9e-9
    """Seconds a weight of clipping and AdamW."""
    score: float = 5.4e-9
    """Seconds a score of relations or attention."""

    def encoder(self, flops: float, width: int) -> float:
        return flops * (1 / self.peak + self.gap / (width * self.cores))

    def head(self, shape: Shape, positions: int, passes: int) -> float:
        logits = passes * positions * shape.vocabulary * self.logit
        written = shape.vocabulary * shape.width * self.row if passes > 1 else 0.0
        return passes * head_flops(shape, positions) / self.peak + (logits + written) / self.cores

    def update(self, weights: int) -> float:
        return weights * self.weight / self.cores

    def relations(self, scores: int) -> float:
        return scores * self.score / self.cores


@dataclass(frozen=True)
class Gpu:
    """GPUs."""

    peak: float
    share: float = 0.3
    """Of the peak, reached over a whole trial: assumed."""

    def encoder(self, flops: float, width: int) -> float:
        return flops / (self.peak * self.share)

    def head(self, shape: Shape, positions: int, passes: int) -> float:
        return passes * head_flops(shape, positions) / (self.peak * self.share)

    def update(self, weights: int) -> float:
        return 0.0

    def relations(self, scores: int) -> float:
        return 0.0


def parts_of(trial: Trial, work: Work, device: Device, sharing: int = 1) -> Parts:
    """Seconds of one trial whose teacher pass is shared by `sharing` students."""
    fixed = Parts(MODEL_START[trial.kind] / sharing, 0.0, MODEL_END[trial.kind])
    match trial.job:
        case PrepareJob() as job:
            computed = _prepare(job, device)
        case DistilJob() as job:
            computed = _distil(job, work, device, sharing)
        case FinetuneJob() as job:
            computed = _finetune(job, work, device)
        case AnalyseJob() as job:
            width = work.shape(job.student).width
            computed = Parts(0.0, device.encoder(work.operations(trial), width), 0.0)
        case MeasureJob(teacher=teacher, student=student):
            width = student.width if student else shape_of(teacher).width
            computed = Parts(0.0, device.encoder(work.operations(trial), width), 0.0)
    return Parts(fixed.before + computed.before, computed.steps, fixed.after + computed.after)


def weights_of(shape: Shape, vocabulary: int | None = None) -> int:
    """Weights of an encoder, without biases and positions, with so many rows of its embedding (default: all)."""
    layer = 4 * shape.width**2 + 2 * shape.width * shape.ffn
    return shape.layers * layer + (shape.vocabulary if vocabulary is None else vocabulary) * shape.width


def _prepare(job: PrepareJob, device: Device) -> Parts:
    shape, recipe = shape_of(job.teacher), job.recipe
    size = (recipe.batch_size, recipe.length)
    positions = round(recipe.batch_size * recipe.length * recipe.mlm_probability)
    whole = recipe.train == "all"
    passes, weights = (TRAINING, weights_of(shape)) if whole else (1, weights_of(shape) // shape.layers)
    step = device.encoder(passes * forward_flops(shape, *size), shape.width)
    step += device.head(shape, positions, TRAINING) + device.update(weights)
    batches = PREPARE_HELD_OUT / recipe.batch_size
    looked_at = device.encoder(forward_flops(shape, *size), shape.width) + device.head(shape, positions, 1)
    return Parts(batches * looked_at, recipe.steps * (STEP + step), batches * looked_at)


def _distil(job: DistilJob, work: Work, device: Device, sharing: int) -> Parts:
    recipe, method = job.recipe, job.method
    teacher = work.shape(job.teacher)
    student = job.student.shape(teacher)
    if not recipe.steps:
        return Parts(0.0, 0.0, 0.0)
    size = (recipe.batch_size, recipe.length)
    positions = head_positions(method, recipe)
    read = positions if method.needs_mlm_head else 0
    trained = positions if method.trains_mlm_head else 0

    def both(passes: int, heads: int) -> float:
        shared = device.encoder(forward_flops(teacher, *size), teacher.width) + (
            device.head(teacher, read, 1) if read else 0.0
        )
        own = device.encoder(passes * forward_flops(student, *size), student.width)
        return shared / sharing + own + (device.head(student, trained, heads) if trained else 0.0)

    scores = device.relations(_scores(method, *size))
    step = both(TRAINING, TRAINING) + scores + device.update(weights_of(student))
    held_out = DISTIL_HELD_OUT / recipe.batch_size * (both(1, 1) + scores / TRAINING)
    return Parts(held_out, recipe.steps * (STEP + step), held_out)


def _scores(method: Method, sequences: int, tokens: int) -> int:
    """Relation scores that a method compares in a step."""
    return sum(
        len(getattr(term, "pairs", ())) * getattr(term, "heads", 0) * sequences * tokens**2
        for term in method.objective
        if isinstance(getattr(term, "heads", None), int)
    )


def _finetune(job: FinetuneJob, work: Work, device: Device) -> Parts:
    """A mean over settings, in which those that halving drops count nothing."""
    shape, recipe, rows = work.shape(job.model), job.recipe, work.tasks.of(job)
    tokens = max(1, round(rows.tokens))

    def passes(count: float) -> float:
        return device.encoder(job.task.kind.forward_flops(shape, round(count), tokens), shape.width)

    scored = sum(rows.scored.values())
    if not job.task.kind.trains:
        return Parts(0.0, 0.0, passes(scored))
    selecting = rows_selecting(job, rows)
    steps = recipe.epochs * rows.train_rows / recipe.batch_size
    updates = steps * (STEP + device.update(weights_of(shape, _reached(shape, rows.train_rows * tokens))))
    trained = passes(recipe.epochs * (TRAINING * rows.train_rows + selecting)) + updates
    reported = passes(scored - selecting) if job.counts else 0.0
    started = job.rung.keep / len(job.rung.below) if job.rung and job.rung.below else 1.0
    return Parts(ROW * (rows.train_rows + scored), trained, reported).times(started)


def _reached(shape: Shape, tokens: int) -> int:
    """Words of the vocabulary among so many tokens, by Heaps' law: 7,000 of 200,000."""
    return min(shape.vocabulary, round(15 * tokens**0.5))
