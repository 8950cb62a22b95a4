"""What a plan roughly costs, from counted multiplications and an assumed or measured speed. Never part of a
number.

Assumptions, stated wherever an estimate is shown: a forward pass takes 2 operations per weight and token,
training three times that; a size that is not known is BERT-base's; a vocabulary trimmed to a corpus keeps
60,000 pieces; a task without `train_rows` has 100,000 rows, without `eval_rows` 2,500 scored ones a language and
split, a retrieval task 100 a language; examples fill a third of their `length`; the teacher's pass is shared by
its cohort."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.folders import TrialFolder, trial_folders
from harness.plan.build import Plan
from harness.plan.cohorts import cohorts
from harness.records import DistilJob, FinetuneJob, Kind, MeasureJob, ModelSource, PrepareJob, Trial
from harness.spec.entries import Student, Teacher

CPU_FLOPS = 100e9
"""Operations a second of one processor core (fp32, 2026 server processor)."""
GPU_FLOPS = 60e12
"""Operations a second of one GPU (bf16, a third of an A100's peak)."""
TASK_ROWS = 100_000
SCORED_ROWS = 2_500
"""Rows that a task is scored on, for each language and split."""
RETRIEVED_ROWS = 100
"""Rows of a retrieval task in each language."""
TRIMMED_VOCABULARY = 60_000
"""Pieces that a vocabulary trimmed to a corpus keeps."""
FILLED = 1 / 3
"""Share of `length` that an example of a task fills."""
LATEST = 300
"""Most past trials whose speed is looked at."""


@dataclass(frozen=True)
class Size:
    """What decides the operations of one pass."""

    layers: int = 12
    width: int = 768
    ffn: int = 3072
    vocabulary: int = 30_522

    @classmethod
    def of(cls, teacher: Teacher | None, student: Student | None = None) -> Size:
        """Of a student of a teacher, or of the teacher itself; BERT-base's where nothing is known."""
        shape = teacher.shape if teacher else None
        vocabulary = shape.vocabulary if shape else cls.vocabulary
        if teacher is not None and teacher.trim_vocabulary is not None:
            vocabulary = min(vocabulary, TRIMMED_VOCABULARY)
        if student is not None:
            return cls(student.layers, student.width, student.ffn or 4 * student.width, vocabulary)
        if shape is None:
            return cls(vocabulary=vocabulary)
        return cls(shape.layers, shape.width, shape.ffn, vocabulary)

    def forward(self, tokens: float, length: int, predicted: float = 0.0) -> float:
        """Operations of one pass over `tokens` in blocks of `length`, `predicted` of them through the masked-
        LM head."""
        layer = 2 * (4 * self.width**2 + 2 * self.width * self.ffn) + 4 * length * self.width
        return tokens * self.layers * layer + predicted * 2 * self.width * (self.width + self.vocabulary)


@dataclass(frozen=True)
class Speed:
    """Operations a second that trials reach, by kind; where none was measured, the assumption."""

    measured: Mapping[Kind, float] = field(default_factory=dict)
    """Per core and second, from earlier trials on this machine."""

    def seconds(self, trial: Trial, operations: float) -> float:
        """How long `operations` take on what this trial occupies."""
        if trial.resources.gpus:
            return operations / (GPU_FLOPS * trial.resources.gpus)
        return operations / (self.measured.get(trial.kind, CPU_FLOPS) * trial.resources.cpus)

    @property
    def basis(self) -> str:
        """In words."""
        if self.measured:
            found = ", ".join(f"{kind} {speed / 1e9:.0f}" for kind, speed in self.measured.items())
            return f"measured here, GFLOP/s a core: {found}; else {CPU_FLOPS / 1e9:.0f} assumed"
        return f"assumed: {CPU_FLOPS / 1e9:.0f} GFLOP/s a core, {GPU_FLOPS / 1e12:.0f} TFLOP/s a GPU"


def estimate(plan: Plan, speed: Speed) -> dict[str, float]:
    """Trial id -> seconds it takes on the resources it asks for."""
    sharing = {trial.id: len(group) for group in cohorts(plan.trials) for trial in group}
    counted = _Counter(plan.by_id)
    return {
        trial.id: speed.seconds(trial, counted.operations(trial, sharing.get(trial.id, 1)))
        for trial in plan.trials
    }


def measured_speed(runs_dir: Path) -> Speed:
    """Speed of the trials recorded in `runs_dir`: all operations over all core-seconds, by kind (GPU trials
    left out)."""
    folders = list(trial_folders(runs_dir))[:LATEST]
    trials = {trial.id: trial for folder in folders if (trial := folder.read_trial())}
    counted = _Counter(trials)
    operations: dict[Kind, float] = defaultdict(float)
    seconds: dict[Kind, float] = defaultdict(float)
    for trial in _cpu_trials(trials.values()):
        result = TrialFolder.of(runs_dir, trial.id).read_result()
        if result is not None and result.status == "ok" and result.seconds > 0:
            operations[trial.kind] += counted.operations(trial, 1)
            seconds[trial.kind] += result.seconds * trial.resources.cpus
    return Speed({kind: operations[kind] / seconds[kind] for kind in operations if operations[kind] > 0})


def _cpu_trials(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if not trial.resources.gpus and trial.kind != "measure"]


def _rows_passed(job: FinetuneJob) -> float:
    """Forward passes of one row; a training step is three. Settings given up by halving are averaged in."""
    languages = len(job.languages)
    if job.task.type == "retrieval":
        return RETRIEVED_ROWS * languages
    scored = job.recipe.eval_rows or SCORED_ROWS
    selecting = scored * (languages if job.recipe.select_on == "dev_all" else 1)
    reported = scored * languages * (1 if job.task.report == "dev" else 2) if job.counts else 0
    share = job.rung.share if job.rung else 1.0
    started = job.rung.keep / len(job.rung.below) if job.rung and job.rung.below else 1.0
    trained = 3 * (job.recipe.train_rows or TASK_ROWS) * share
    return started * (job.recipe.epochs * (trained + selecting) + reported)


@dataclass(frozen=True)
class _Counter:
    """Counts operations; knows the trials that made a model, to know its size."""

    trials: Mapping[str, Trial]

    def operations(self, trial: Trial, sharing: int) -> float:
        """Of one trial whose teacher pass is shared by `sharing` students."""
        match trial.job:
            case PrepareJob(teacher=teacher, recipe=recipe):
                tokens = recipe.steps * recipe.batch_size * recipe.length
                return 3 * Size.of(teacher).forward(tokens, recipe.length, tokens * recipe.mlm_probability)
            case DistilJob() as job:
                return self._distil(job, sharing)
            case FinetuneJob() as job:
                read = _rows_passed(job) * job.recipe.length * FILLED
                return self._size(job.model).forward(read, job.recipe.length)
            case MeasureJob(teacher=teacher, student=student, protocol=protocol):
                runs = (protocol.repeats + protocol.warmup) * sum(protocol.batch_sizes)
                return Size.of(teacher, student).forward(runs * protocol.length, protocol.length)

    def _distil(self, job: DistilJob, sharing: int) -> float:
        recipe = job.recipe
        tokens = recipe.steps * recipe.batch_size * recipe.length
        teacher = self._size(job.teacher)
        student = Size.of(self._root(job.teacher), job.student)
        predicted = tokens * recipe.mlm_probability
        shared = teacher.forward(tokens, recipe.length, predicted if job.method.needs_mlm_head else 0)
        own = student.forward(tokens, recipe.length, predicted if job.method.trains_mlm_head else 0)
        return shared / sharing + 3 * own

    def _root(self, source: ModelSource) -> Teacher | None:
        maker = self.trials.get(source.trial or "")
        job = maker.job if maker else None
        if isinstance(job, PrepareJob):
            return job.teacher
        return self._root(job.teacher) if isinstance(job, DistilJob) else source.teacher

    def _size(self, source: ModelSource) -> Size:
        maker = self.trials.get(source.trial or "")
        job = maker.job if maker else None
        if isinstance(job, DistilJob):
            return Size.of(self._root(job.teacher), job.student)
        return Size.of(self._root(source))
