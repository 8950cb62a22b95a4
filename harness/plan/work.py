"""Operations of a trial, counted by `harness.flops` from its job before it runs.

Assumptions where a job does not say: an unknown size is BERT-base's; the teacher runs to its last layer; a vocabulary
trimmed to a corpus keeps 60,000 pieces. Rows and lengths of tasks: `harness.plan.row_counts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.flops import BACKWARD, forward_flops, head_flops, read_flops, training_flops
from harness.plan.row_counts import RowCounts, RowsOfTrial
from harness.records.trial import (
    AnalyseJob,
    DistilJob,
    FinetuneJob,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Start,
    Trial,
)
from harness.shapes import Shape
from harness.spec.entries import Method, Teacher
from harness.spec.recipes import Distil, Prepare

BERT_BASE = Shape(12, 768, 12, 3072, 30_522, "bert", mlm_head=True)
TRIMMED_VOCABULARY = 60_000
ANALYSIS_PASSES = 3
"""Times that an analysis runs both models over its text: to compare, to fit projections, to measure with them."""


@dataclass(frozen=True)
class Work:
    """Counts operations; holds the plan's trials to look up the sizes of the models they make."""

    trials: Mapping[str, Trial]
    tasks: RowCounts = field(default_factory=RowCounts)
    """What is known of the tasks' rows."""

    def operations(self, trial: Trial, sharing: int = 1) -> int:
        """Operations of one trial whose teacher pass is shared by `sharing` students."""
        match trial.job:
            case PrepareJob(teacher=teacher, recipe=recipe):
                return recipe.steps * prepare_flops(shape_of(teacher), recipe)
            case DistilJob() as job:
                return self._distil(job, sharing)
            case FinetuneJob() as job:
                return self._finetune(job)
            case AnalyseJob() as job:
                return self._analyse(job)
            case MeasureJob(teacher=teacher, student=student, protocol=protocol):
                shape = student.shape(shape_of(teacher)) if student else shape_of(teacher)
                runs = (protocol.repeats + protocol.warmup) * sum(protocol.batch_sizes)
                return forward_flops(shape, runs, protocol.length)

    def _distil(self, job: DistilJob, sharing: int) -> int:
        recipe = job.recipe
        size = (recipe.batch_size, recipe.length)
        positions = head_positions(job.method, recipe)
        teacher = self.shape(job.teacher)
        read = positions if job.method.needs_mlm_head else 0
        shared = read_flops(teacher, *size, layers=teacher.layers, maps=0, positions=read)
        trained = positions if job.method.trains_mlm_head else 0
        own = training_flops(job.student.shape(teacher), *size, trained)
        return recipe.steps * (shared // sharing + own)

    def _analyse(self, job: AnalyseJob) -> int:
        """Both models on all blocks in each pass, and the products of every pair of layers' states and relations."""
        size = (job.recipe.blocks, job.text.length)
        teacher, student = self.shape(job.teacher), self.shape(job.student)
        passes = ANALYSIS_PASSES * (forward_flops(teacher, *size) + forward_flops(student, *size))
        tokens, pairs = size[0] * size[1], (teacher.layers + 1) * (student.layers + 1)
        states = 2 * tokens * student.width * teacher.width
        relations = 3 * 2 * tokens * job.text.length * (student.width + teacher.width)
        return passes + pairs * (states + relations)

    def _finetune(self, job: FinetuneJob) -> int:
        """Training, the selection rows after each epoch, and the rows scored in the end: a mean over settings, in which
        those that halving drops count nothing."""
        recipe, shape = job.recipe, self.shape(job.model)
        rows = self.tasks.of(job)
        tokens = max(1, round(rows.tokens))
        kind = job.task.kind
        if not kind.trains:
            return kind.forward_flops(shape, sum(rows.scored.values()), tokens)
        rung = job.rung
        selecting = rows_selecting(job, rows)
        reported = sum(rows.scored.values()) - selecting if job.counts else 0  # selection is counted apart
        started = rung.keep / len(rung.below) if rung and rung.below else 1.0
        learnt = (1 + BACKWARD) * recipe.epochs * rows.train_rows
        passes = learnt + recipe.epochs * selecting + reported
        return round(started * kind.forward_flops(shape, passes, tokens))

    def shape(self, source: ModelSource | Start) -> Shape:
        """The model that a trial starts from."""
        if isinstance(source, Start):
            return source.student.shape(self.shape(source.teacher))
        maker = self.trials.get(source.trial or "")
        match maker.job if maker else None:
            case DistilJob(teacher=teacher, student=student):
                return student.shape(self.shape(teacher))
            case PrepareJob(teacher=prepared):
                return shape_of(prepared)
        return shape_of(source.teacher)


def prepare_flops(shape: Shape, recipe: Prepare) -> int:
    """Operations of one step of masked-LM training."""
    size = (recipe.batch_size, recipe.length)
    positions = round(recipe.batch_size * recipe.length * recipe.mlm_probability)
    if recipe.train == "head":
        return forward_flops(shape, *size) + (1 + BACKWARD) * head_flops(shape, positions)
    return training_flops(shape, *size, positions)


def head_positions(method: Method, recipe: Distil) -> int:
    """Tokens of a step that go through a masked-LM head, on average."""
    tokens = recipe.batch_size * recipe.length
    everywhere = any(getattr(term, "positions", None) == "all" for term in method.objective)
    return tokens if everywhere else round(tokens * recipe.mlm_probability)


def shape_of(teacher: Teacher | None) -> Shape:
    """The declared shape; BERT-base's where none is declared."""
    declared = teacher.shape if teacher else None
    if declared is None:
        return BERT_BASE
    trimmed = teacher is not None and teacher.trim_vocabulary is not None
    vocabulary = min(declared.vocabulary, TRIMMED_VOCABULARY) if trimmed else declared.vocabulary
    return Shape(
        declared.layers, declared.width, declared.heads, declared.ffn, vocabulary,
        declared.model_type, declared.mlm_head,
    )  # fmt: skip


def rows_selecting(job: FinetuneJob, rows: RowsOfTrial) -> int:
    """Rows predicted after each epoch."""
    split = "train_holdout" if job.recipe.select_on == "train_holdout" else "dev"
    english = job.recipe.select_on == "dev_en"
    return sum(
        n for (name, code), n in rows.scored.items() if name == split and (not english or code == "en")
    )
