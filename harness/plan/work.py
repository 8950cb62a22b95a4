"""How many operations a trial takes, counted before it runs: `harness.flops` on what its job asks for.

Assumptions where a job does not tell: a size that is not known is BERT-base's; the teacher runs to its last
layer; a vocabulary trimmed to a corpus keeps 60,000 pieces; a task whose rows were never seen has 100,000
training rows and 2,500 in every other split, a language, a retrieval task 100 a language; its examples fill a
third of the recipe's length. Trials recorded earlier tell the rows and their lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.flops import BACKWARD, forward_flops, head_flops, read_flops, training_flops
from harness.records import DistilJob, FinetuneJob, MeasureJob, ModelSource, PrepareJob, Result, Trial
from harness.spec.base import Shape
from harness.spec.entries import Method, Teacher
from harness.spec.recipes import Distil, Prepare

BERT_BASE = Shape(12, 768, 12, 3072, 30_522, "bert", mlm_head=True)
TRAIN_ROWS = 100_000
SCORED_ROWS = 2_500
RETRIEVED_ROWS = 100
TRIMMED_VOCABULARY = 60_000
FILLED = 1 / 3
"""Share of `length` that an example of a task fills."""
HOLDOUT = 0.1
"""Share of the training rows that `select_on: train_holdout` keeps for choosing."""


@dataclass(frozen=True)
class SeenTask:
    """What an earlier trial of a task tells of its rows."""

    train_rows: int
    """Of all training languages."""
    scored: Mapping[tuple[str, str], int]
    """(split, language) -> rows."""
    tokens: float
    """Of a training row, on average."""


@dataclass(frozen=True)
class Work:
    """Counts operations; knows the trials that make a model, to know its size."""

    trials: Mapping[str, Trial]
    tasks: Mapping[str, SeenTask] = field(default_factory=dict)
    """By `task_key`."""

    def operations(self, trial: Trial, sharing: int = 1) -> int:
        """Of one trial whose teacher pass is shared by `sharing` students."""
        match trial.job:
            case PrepareJob(teacher=teacher, recipe=recipe):
                return recipe.steps * prepare_flops(shape_of(teacher), recipe)
            case DistilJob() as job:
                return self._distil(job, sharing)
            case FinetuneJob() as job:
                return self._finetune(job)
            case MeasureJob(teacher=teacher, student=student, protocol=protocol):
                shape = student.shape(shape_of(teacher)) if student else shape_of(teacher)
                runs = (protocol.repeats + protocol.warmup) * sum(protocol.batch_sizes)
                return forward_flops(shape, runs, protocol.length)

    def _distil(self, job: DistilJob, sharing: int) -> int:
        recipe = job.recipe
        size = (recipe.batch_size, recipe.length)
        positions = head_positions(job.method, recipe)
        teacher = self._shape(job.teacher)
        read = positions if job.method.needs_mlm_head else 0
        shared = read_flops(teacher, *size, layers=teacher.layers, maps=0, positions=read)
        trained = positions if job.method.trains_mlm_head else 0
        own = training_flops(job.student.shape(teacher), *size, trained)
        return recipe.steps * (shared // sharing + own)

    def _finetune(self, job: FinetuneJob) -> int:
        """Training, the rows that choose after each epoch, and those that are scored in the end; settings that
        halving gives up are averaged in."""
        recipe, shape = job.recipe, self._shape(job.model)
        if job.task.type == "retrieval":
            return forward_flops(shape, RETRIEVED_ROWS * len(job.languages), round(recipe.length * FILLED))
        seen = self.tasks.get(task_key(job))
        tokens = max(1, round(seen.tokens if seen else recipe.length * FILLED))
        rung = job.rung
        share = rung.share if rung else 1.0
        asked = share * len(job.task.train_languages) * (recipe.train_rows or TRAIN_ROWS)
        train = seen.train_rows if seen else round(asked)
        scored = dict(seen.scored) if seen else _scored_rows(job)
        selecting = round(train * HOLDOUT) if recipe.select_on == "train_holdout" else _selecting(job, scored)
        started = rung.keep / len(rung.below) if rung and rung.below else 1.0
        learnt = recipe.epochs * training_flops(shape, train, tokens)
        reported = sum(scored.values()) if job.counts else 0
        return round(started * (learnt + forward_flops(shape, recipe.epochs * selecting + reported, tokens)))

    def _shape(self, source: ModelSource) -> Shape:
        """Of the model that a trial starts from."""
        maker = self.trials.get(source.trial or "")
        match maker.job if maker else None:
            case DistilJob(teacher=teacher, student=student):
                return student.shape(self._shape(teacher))
            case PrepareJob(teacher=prepared):
                return shape_of(prepared)
        return shape_of(source.teacher)


def prepare_flops(shape: Shape, recipe: Prepare) -> int:
    """One step of masked-LM training."""
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
    """As declared; BERT-base's where nothing is."""
    declared = teacher.shape if teacher else None
    if declared is None:
        return BERT_BASE
    trimmed = teacher is not None and teacher.trim_vocabulary is not None
    vocabulary = min(declared.vocabulary, TRIMMED_VOCABULARY) if trimmed else declared.vocabulary
    return Shape(
        declared.layers, declared.width, declared.heads, declared.ffn, vocabulary,
        declared.model_type, declared.mlm_head,
    )  # fmt: skip


def task_key(job: FinetuneJob) -> str:
    """What decides the rows of a task and their length."""
    recipe = job.recipe
    rows = f"{recipe.train_rows} {recipe.eval_rows} {recipe.dev_rows} {job.rung.share if job.rung else 1}"
    return f"{job.task.name} {','.join(job.languages)} {rows} {recipe.length} {recipe.select_on}"


def seen_tasks(recorded: Iterable[tuple[Trial, Result]]) -> dict[str, SeenTask]:
    """What the fine-tuning trials among these tell of their tasks' rows, by `task_key`."""
    seen: dict[str, SeenTask] = {}
    for trial, result in recorded:
        job, rows = trial.job, result.facts.get("train_rows")
        if isinstance(job, FinetuneJob) and rows and result.tokens and result.facts.get("steps"):
            scored = {(score.split, score.language): score.n for score in result.scores}
            epochs = result.facts["steps"] * job.recipe.batch_size / rows
            seen[task_key(job)] = SeenTask(rows, scored, result.tokens / (rows * epochs))
    return seen


def _scored_rows(job: FinetuneJob) -> dict[tuple[str, str], int]:
    splits = {split for split in ("dev", job.task.report) if split in job.task.splits}
    rows = dict.fromkeys(splits, job.recipe.eval_rows or SCORED_ROWS)
    if job.recipe.dev_rows and "dev" in rows:
        rows["dev"] = min(rows["dev"], job.recipe.dev_rows)
    return {(split, language): rows[split] for split in rows for language in job.languages}


def _selecting(job: FinetuneJob, scored: Mapping[tuple[str, str], int]) -> int:
    """Rows predicted after each epoch."""
    wanted = ("en",) if job.recipe.select_on == "dev_en" else job.languages
    rows = job.recipe.eval_rows or SCORED_ROWS
    return sum(scored.get(("dev", language), rows) for language in wanted)
