"""What a plan's corpora amount to, and that none holds a sentence its tasks are scored on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.data.sources import Sources
from harness.errors import AssetError, InputError
from harness.plan import Plan
from harness.records import DistilJob, FinetuneJob, PrepareJob
from harness.spec.entries import Corpus, Task

if TYPE_CHECKING:
    from rich.table import Table

    from harness.data.corpora import LanguageText

SMALL = 100_000_000
"""Bytes of files up to which a plan counts a corpus unasked."""


def corpora_of(plan: Plan) -> list[Corpus]:
    """Each corpus that a trial of the plan trains on."""
    jobs = [trial.job for trial in plan.trials]
    found = [job.corpus for job in jobs if isinstance(job, (PrepareJob, DistilJob))]
    return list({id(corpus): corpus for corpus in found}.values())


def tasks_of(plan: Plan) -> tuple[Task, ...]:
    """Each task that a trial of the plan is scored on."""
    found = [trial.job.task for trial in plan.trials if isinstance(trial.job, FinetuneJob)]
    return tuple({id(task): task for task in found}.values())


def refuse_overlap(plan: Plan, sources: Sources) -> None:
    """InputError where a corpus still holds dev or test sentences of a task; reads the corpora, once (then
    cached)."""
    from harness.data.corpora import evaluation_overlap

    for corpus in corpora_of(plan):
        held = {
            task: count
            for task, count in evaluation_overlap(corpus, tasks_of(plan), sources).items()
            if count
        }
        if held:
            told = ", ".join(f"{count} of {task}" for task, count in held.items())
            raise InputError(
                f"the corpus {corpus.name!r} holds sentences its tasks are scored on ({told}); "
                f"add `exclude: [{', '.join(held)}]` to the corpus"
            )


def surveys(
    plan: Plan, sources: Sources, fetch: bool
) -> Iterator[tuple[Corpus, dict[str, LanguageText] | None]]:
    """(corpus, what each language amounts to); None where its files are not on this machine, or are many.

    With `fetch`, they are fetched and read whatever their size."""
    from harness.data.corpora import corpus_statistics

    for corpus in corpora_of(plan):
        if fetch:
            yield corpus, corpus_statistics(corpus, sources)
        elif _is_small(corpus, offline := dataclasses.replace(sources, offline=True)):
            try:
                yield corpus, corpus_statistics(corpus, offline)
            except AssetError:  # its excluded tasks are not here
                yield corpus, None
        else:
            yield corpus, None


def _is_small(corpus: Corpus, offline: Sources) -> bool:
    from harness.data.assets import fetch

    size = 0
    for asset in {text.asset for text in corpus.texts}:
        try:
            folder = fetch(asset, offline)
        except AssetError:
            return False
        size += sum((folder.path / name).stat().st_size for name in folder.files)
    return size <= SMALL


def survey_table(corpus: Corpus, languages: dict[str, LanguageText]) -> Table:
    """One line a language."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"corpus {corpus.name}")
    for name in ("documents", "sentences", "characters"):
        table.add_column(name, justify="right")
    table.add_column("left out")
    for code, text in languages.items():
        counts = (f"{value:,}" for value in (text.documents, text.sentences, text.characters))
        left_out = [f"{count:,} of {task}" for task, count in text.excluded.items() if count]
        left_out += [f"{text.duplicates:,} repeated"] if text.duplicates else []
        table.add_row(f"{code} (thin)" if text.thin else code, *counts, ", ".join(left_out))
    return table
