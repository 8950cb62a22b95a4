"""Number and length of a task's rows: from an earlier trial of the same question, else from local data, else as
published with the task, else assumed. Only for estimates; never affects a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from harness.records.result import Result
from harness.records.trial import FinetuneJob, Trial

TRAIN_ROWS = 100_000
"""Assumed training rows per language of a task of which nothing is known."""
FILLED = 1 / 3
"""Assumed share of the recipe's `length` that an example fills where no text was seen."""
CHARACTERS_PER_TOKEN = 4.2
"""In English: 4.0 to 4.8 under BERT's WordPiece, 3.5 to 4.2 under XLM-R's pieces (SST-2, RTE, STS-B and XNLI
as counted with both)."""
SPECIAL_TOKENS = 3
"""Special tokens around and between two texts."""
HOLDOUT = 0.1
"""Share of the training rows that `select_on: train_holdout` keeps for choosing."""

Split = Literal["train", "dev", "test"]
Part = tuple[str, str]
"""(split, language)."""


@dataclass(frozen=True)
class TaskSize:
    """Size of a task's data on this machine."""

    rows: Mapping[Part, int]
    """Rows that are used, as far as can be told without reading every label."""
    characters: tuple[int, ...] = ()
    """Length of some training rows, both texts together."""

    def tokens(self, length: int) -> float | None:
        """Mean tokens of a training row, cut at `length`; None where no row was sampled."""
        if not self.characters:
            return None
        return fmean(min(length, SPECIAL_TOKENS + n / CHARACTERS_PER_TOKEN) for n in self.characters)


@dataclass(frozen=True)
class RowsOfTrial:
    """The rows of one fine-tuning question."""

    train_rows: int
    """Rows trained on, over all training languages."""
    scored: Mapping[Part, int]
    """Rows predicted, including those used for selection."""
    tokens: float
    """Mean tokens of a training row."""


@dataclass(frozen=True)
class AssumedRows:
    """Rows per language of a task whose data has not been seen: of its training split, else of the reported one."""

    task: str
    rows: int
    published: bool
    """Whether the task file states them; else they are a guess."""


@dataclass(frozen=True)
class RowCounts:
    """What is known of the tasks of a plan."""

    seen: Mapping[str, RowsOfTrial] = field(default_factory=dict)
    """By `task_key`, from trials recorded earlier."""
    at_hand: Mapping[str, TaskSize] = field(default_factory=dict)
    """By task, from the data on this machine."""
    _asked: dict[str, RowsOfTrial] = field(default_factory=dict, repr=False, compare=False)

    def of(self, job: FinetuneJob) -> RowsOfTrial:
        """The rows that a trial reads; worked out once for all trials of the same question."""
        key = task_key(job)
        if key not in self._asked:
            self._asked[key] = self.seen.get(key) or self._expected(job)
        return self._asked[key]

    def assumption(self, job: FinetuneJob) -> AssumedRows | None:
        """What is assumed about the rows of a task; None where they were seen."""
        task = job.task
        if task_key(job) in self.seen or task.name in self.at_hand:
            return None
        split: Split = "train" if "train" in task.splits else task.report
        return AssumedRows(task.name, self._rows(job, split, job.languages[0]), split in task.rows)

    def _expected(self, job: FinetuneJob) -> RowsOfTrial:
        """As `harness.trials.finetune_rows.TaskRows` would choose them."""
        recipe, task = job.recipe, job.task
        trained = {code: self._rows(job, "train", code) for code in task.train_languages}
        held = HOLDOUT if recipe.select_on == "train_holdout" else 0.0
        scored: dict[Part, int] = {
            ("train_holdout", code): round(held * rows) for code, rows in trained.items() if held
        }
        scored |= {
            (split, code): self._rows(job, split, code)
            for split in _scored_splits(task.report)
            if split in task.splits
            for code in job.languages
        }
        share = (1 - held) * (job.rung.share if job.rung else 1.0)
        size = self.at_hand.get(task.name)
        tokens = size.tokens(recipe.length) if size else None
        return RowsOfTrial(round(share * sum(trained.values())), scored, tokens or recipe.length * FILLED)

    def _rows(self, job: FinetuneJob, split: Split, language: str) -> int:
        """Rows of one split in one language, within the recipe's limits."""
        recipe, task = job.recipe, job.task
        size = self.at_hand.get(task.name)
        rows = size.rows.get((split, language)) if size else None
        if rows is None:
            rows = task.rows.get(split, TRAIN_ROWS if split == "train" else task.kind.typical_rows)
        if split == "train":
            return min(rows, recipe.train_rows or rows)
        fewer = recipe.dev_rows if split == "dev" else None
        return min(rows, recipe.eval_rows or rows, fewer or rows)


def _scored_splits(report: Split) -> tuple[Split, ...]:
    return ("dev",) if report == "dev" else ("dev", report)


def task_key(job: FinetuneJob) -> str:
    """Key of everything that decides a task's rows and their length."""
    recipe = job.recipe
    rows = f"{recipe.train_rows} {recipe.eval_rows} {recipe.dev_rows} {job.rung.share if job.rung else 1}"
    return f"{job.task.name} {','.join(job.languages)} {rows} {recipe.length} {recipe.select_on}"


def rows_read(recorded: Iterable[tuple[Trial, Result]]) -> dict[str, RowsOfTrial]:
    """`task_key` -> rows as recorded by the fine-tuning trials among these."""
    seen: dict[str, RowsOfTrial] = {}
    for trial, result in recorded:
        job, rows = trial.job, result.facts.get("train_rows")
        if isinstance(job, FinetuneJob) and rows and result.tokens and result.facts.get("steps"):
            scored = {(score.split, score.language): score.n for score in result.scores}
            epochs = result.facts["steps"] * job.recipe.batch_size / rows
            seen[task_key(job)] = RowsOfTrial(rows, scored, result.tokens / (rows * epochs))
    return seen
