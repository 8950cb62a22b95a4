"""Which fine-tuning settings each task is run with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from harness.plan.rungs import Step, ladder
from harness.records.trial import FinetuneRecipe
from harness.spec.entries import Task
from harness.spec.recipes import Finetune, FinetuneSettings, SelectOn
from harness.spec.resolve import ResolvedSpec, ResolvedTask

UNTRAINED_RATE = 1e-5
"""Learning rate stated by the recipe of a task that trains nothing; part of its trials' ids."""

_Settings = tuple[tuple[FinetuneRecipe, ...], tuple[int, ...]]
"""(settings, seeds)"""


@dataclass(frozen=True)
class Evaluation:
    """How a model is scored on one task."""

    task: Task
    languages: tuple[str, ...]
    settings: tuple[FinetuneRecipe, ...]
    """Learning rates × epochs, ascending; among equal scores the earlier setting is preferred."""
    seeds: tuple[int, ...]
    ladder: tuple[Step, ...]
    """Rungs of successive halving; empty where every setting is trained in full at once."""


@dataclass(frozen=True)
class Scored:
    """How students and references (teachers, external checkpoints) are scored on one task."""

    students: Evaluation
    references: Evaluation


def evaluations(resolved: ResolvedSpec) -> dict[str, tuple[Scored, ...]]:
    """Language set -> what its models are scored on."""
    grids = [
        (_grid(task_use, task_use.finetune), _grid(task_use, _for_references(task_use.finetune)))
        for task_use in resolved.tasks
    ]

    def evaluation(task_use: ResolvedTask, codes: tuple[str, ...], grid: _Settings) -> Evaluation:
        settings, seeds = grid
        return Evaluation(
            task_use.task, task_use.evaluated(codes), settings, seeds, _ladder(task_use, settings)
        )

    return {
        languages.name: tuple(
            Scored(*(evaluation(task_use, languages.codes, grid) for grid in both))
            for task_use, both in zip(resolved.tasks, grids, strict=True)
        )
        for languages in resolved.languages
    }


def count_settings(task_use: ResolvedTask) -> int:
    """Number of trials that this task asks for per student, without building them."""
    settings, seeds = _grid(task_use, task_use.finetune)
    return len(settings) * len(seeds) * max(1, len(_ladder(task_use, settings)))


def _for_references(own: Finetune) -> Finetune:
    """The settings for models that are not students."""
    grid = own.references
    if grid is None:
        return own
    return own.model_copy(
        update={
            "learning_rate": grid.learning_rate or own.learning_rate,
            "epochs": grid.epochs or own.epochs,
        }
    )


def select_on(task: Task) -> SelectOn:
    """Rows that choose the best setting where the spec does not say: never those that are reported on.

    A task that reports dev (hidden test labels) or has no dev split chooses on a held-out part of train; a
    cross-lingual task on its English dev rows (zero-shot transfer sees no other); any other on its dev split."""
    if task.report == "dev" or "dev" not in task.splits:
        return "train_holdout"
    return "dev_en" if len(task.languages) > 1 and "en" in task.languages else "dev"


def _ladder(task_use: ResolvedTask, settings: tuple[FinetuneRecipe, ...]) -> tuple[Step, ...]:
    return ladder(task_use.finetune.halving, len(settings))


def _grid(task_use: ResolvedTask, own: Finetune) -> _Settings:
    if not task_use.task.kind.trains:
        # Nothing is trained: one trial, whatever the grid says.
        untrained = Finetune(batch_size=own.batch_size, length=own.length, precision=own.precision)
        return (_recipe(untrained, UNTRAINED_RATE, 0, "dev"),), (0,)
    chosen = own.select_on or select_on(task_use.task)
    points = itertools.product(sorted(set(own.learning_rate)), sorted(set(own.epochs)))
    return tuple(_recipe(own, *point, chosen) for point in points), tuple(dict.fromkeys(own.seeds))


def _recipe(own: Finetune, learning_rate: float, epochs: int, chosen: SelectOn) -> FinetuneRecipe:
    shared = {name: getattr(own, name) for name in FinetuneSettings.model_fields}
    return FinetuneRecipe(**shared, learning_rate=learning_rate, epochs=epochs, select_on=chosen)
