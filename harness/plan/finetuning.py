"""Which fine-tuning settings each task is run with."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

from harness.records import FinetuneRecipe
from harness.spec.entries import Task
from harness.spec.recipes import Finetune
from harness.spec.resolve import ResolvedSpec, ResolvedTask

SelectOn = Literal["dev", "dev_en", "dev_all", "train_holdout"]


@dataclass(frozen=True)
class Evaluation:
    """One task as a model is scored on it."""

    task: Task
    languages: tuple[str, ...]
    recipes: tuple[tuple[FinetuneRecipe, int], ...]
    """(setting, seed), over the whole fine-tuning grid."""


def evaluations(resolved: ResolvedSpec) -> dict[str, tuple[Evaluation, ...]]:
    """Language set -> what its models are scored on."""
    settings = [_settings(one) for one in resolved.tasks]
    return {
        languages.name: tuple(
            Evaluation(one.task, one.evaluated(languages.codes), recipes)
            for one, recipes in zip(resolved.tasks, settings, strict=True)
        )
        for languages in resolved.languages
    }


def count_settings(one: ResolvedTask) -> int:
    """How many trials this task asks for of one model, without making them."""
    own = one.finetune
    return 1 if one.task.type == "retrieval" else len(own.learning_rate) * len(own.epochs) * len(own.seeds)


def select_on(task: Task) -> SelectOn:
    """Rows that choose the best setting where the spec does not say: never those that are reported on.

    A task that reports dev (hidden test labels) or has no dev split chooses on a held-out part of train; a
    cross-lingual task on its English dev rows (zero-shot transfer sees no other); any other on its dev
    split."""
    if task.report == "dev" or "dev" not in task.splits:
        return "train_holdout"
    return "dev_en" if len(task.languages) > 1 and "en" in task.languages else "dev"


def _settings(one: ResolvedTask) -> tuple[tuple[FinetuneRecipe, int], ...]:
    own = one.finetune
    if one.task.type == "retrieval":
        # Nothing is trained: one trial, whatever the grid says.
        untrained = Finetune(batch_size=own.batch_size, length=own.length, precision=own.precision)
        return ((_recipe(untrained, untrained.learning_rate[0], 0, "dev"), 0),)
    chosen = own.select_on or select_on(one.task)
    recipes = [_recipe(own, *point, chosen) for point in itertools.product(own.learning_rate, own.epochs)]
    return tuple(itertools.product(recipes, own.seeds))


def _recipe(own: Finetune, learning_rate: float, epochs: int, chosen: SelectOn) -> FinetuneRecipe:
    return FinetuneRecipe(
        learning_rate=learning_rate,
        epochs=epochs,
        batch_size=own.batch_size,
        length=own.length,
        warmup_ratio=own.warmup_ratio,
        weight_decay=own.weight_decay,
        betas=own.betas,
        epsilon=own.epsilon,
        clip_norm=own.clip_norm,
        dropout=own.dropout,
        precision=own.precision,
        on_nan=own.on_nan,
        train_rows=own.train_rows,
        patience=own.patience,
        select_on=chosen,
    )
