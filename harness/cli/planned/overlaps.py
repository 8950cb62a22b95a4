"""Sizes of a plan's corpora, and the check that none contains a sentence its tasks are scored on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.assets.sources import Sources
from harness.counted import counted
from harness.errors import AssetError
from harness.plan import Plan
from harness.records.trial import DistilJob, ModelSource, PrepareJob
from harness.spec.entries import Corpus, Task, Teacher
from harness.spec.resolve import ResolvedSpec
from harness.spec.yaml.source import Complaint, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from harness.corpora.corpus import LanguageText
    from harness.corpora.token_counts import TokenCount

SMALL = 100_000_000
"""Size of files in bytes up to which a plan counts a corpus unasked."""


@dataclass(frozen=True)
class Survey:
    """A corpus as the plan shows it."""

    corpus: Corpus
    languages: Mapping[str, LanguageText] | None = None
    """None if not counted."""
    tokens: Mapping[str, TokenCount] = field(default_factory=dict)
    """Empty if the teacher's tokenizer is not at hand."""
    trains: bool = True
    """Whether a model of the plan is trained on it."""
    unchecked: tuple[str, ...] = ()
    """Tasks whose evaluated sentences are not at hand, so that an overlap cannot be checked."""

    def tokens_used(self, language: str) -> int | None:
        """Tokens of a language within the token budget."""
        if language not in self.tokens:
            return None
        budget = self.corpus.tokens_per_language
        tokens = self.tokens[language].tokens
        return tokens if budget is None else min(tokens, budget)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each language in the batches; empty if tokens are not counted."""
        used = {code: self.tokens_used(code) or 0 for code in self.tokens}
        weights = {code: tokens**self.corpus.alpha for code, tokens in used.items()}
        total = sum(weights.values())
        return {code: weight / total for code, weight in weights.items()} if total else {}

    def as_json(self) -> dict[str, Any]:
        """For `plan --json`."""
        if self.languages is None:
            return {"name": self.corpus.name, "languages": None}
        return {
            "name": self.corpus.name,
            "unchecked_tasks": list(self.unchecked),
            "languages": {
                code: {
                    **dataclasses.asdict(text),
                    "tokens": self.tokens_used(code),
                    "tokens_counted": self.tokens[code].exact if code in self.tokens else None,
                    "share": self.shares.get(code),
                }
                for code, text in self.languages.items()
            },
        }


def corpora_of(plan: Plan) -> list[tuple[Corpus, Teacher | None]]:
    """Each corpus that a trial of the plan trains on, with the first teacher that reads it."""
    corpora: dict[int, tuple[Corpus, Teacher | None]] = {}
    for trial in plan.trials:
        job = trial.job
        if isinstance(job, (PrepareJob, DistilJob)):
            teacher = job.teacher if isinstance(job, PrepareJob) else _root(plan, job.teacher)
            corpora.setdefault(id(job.corpus), (job.corpus, teacher))
    return list(corpora.values())


def _learnt_from(plan: Plan) -> list[Corpus]:
    """Corpora that train a model; controls, which are not distilled, use none."""
    jobs = [trial.job for trial in plan.trials]
    corpora = [
        job.corpus
        for job in jobs
        if isinstance(job, PrepareJob) or (isinstance(job, DistilJob) and job.method.objective)
    ]
    return list({id(corpus): corpus for corpus in corpora}.values())


def _root(plan: Plan, source: ModelSource) -> Teacher | None:
    while source.trial is not None:
        job = plan.by_id[source.trial].job
        if isinstance(job, PrepareJob):
            return job.teacher
        assert isinstance(job, DistilJob)
        source = job.teacher
    return source.teacher


def refuse_overlap(plan: Plan, resolved: ResolvedSpec, sources: Sources) -> None:
    """SpecError, one line for each corpus that a model is trained on and that still contains dev or test sentences of a
    task; reads the corpora once (then cached)."""
    from harness.corpora.corpus import evaluation_overlap

    complaints: list[Complaint] = []
    for corpus in _learnt_from(plan):
        if corpus.streaming:
            continue  # never read beforehand: `exclude` names all its tasks (harness.spec.checks)
        held = {
            task: count for task, count in evaluation_overlap(corpus, plan.tasks, sources).items() if count
        }
        if held:
            counts = ", ".join(f"{count:,} of {task}" for task, count in held.items())
            message = (
                f"the corpus {corpus.name!r} holds sentences its tasks are scored on ({counts}); "
                "add `exclude_overlap: true` to the spec to remove them from the text"
            )
            used = (use.path for use in resolved.corpora.values() if use.entry == corpus)
            complaints += [Complaint(resolved.mark(path), message) for path in used]
    if complaints:
        raise refuse(complaints)


def surveys(plan: Plan, sources: Sources, fetch: bool) -> Iterator[Survey]:
    """Each corpus of the plan; not counted if its files are not on this machine, or are large.

    With `fetch`, they are fetched and read whatever their size, unless they are streamed.
    """
    here = sources if fetch else dataclasses.replace(sources, offline=True)
    learnt = {id(corpus) for corpus in _learnt_from(plan)}
    for corpus, teacher in corpora_of(plan):
        if (not fetch or corpus.streaming) and not _is_small(corpus, here):
            yield Survey(corpus)
            continue
        try:
            found = _survey(corpus, teacher, plan.tasks, here)
            yield dataclasses.replace(found, trains=id(corpus) in learnt)
        except AssetError:
            if fetch:
                raise
            yield Survey(corpus)  # a task whose sentences it leaves out is not here


def _survey(corpus: Corpus, teacher: Teacher | None, tasks: tuple[Task, ...], sources: Sources) -> Survey:
    from harness.corpora.corpus import CorpusReader, survey
    from harness.corpora.token_counts import count_tokens

    present = tuple(task for task in tasks if _is_here(task, sources))
    languages = survey(corpus, present, sources)
    unchecked = tuple(task.name for task in tasks if task not in present)
    tokenizer = _tokenizer(teacher, sources)
    if tokenizer is None:
        return Survey(corpus, languages, unchecked=unchecked)
    characters = {code: text.characters for code, text in languages.items()}
    tokens = count_tokens(CorpusReader(corpus, sources), characters, tokenizer, sources)
    return Survey(corpus, languages, tokens, unchecked=unchecked)


def _is_here(task: Task, sources: Sources) -> bool:
    from harness.assets.fetch import fetch

    try:
        for asset in task.assets.values():
            fetch(asset, sources)
    except AssetError:
        return False
    return True


def _tokenizer(teacher: Teacher | None, sources: Sources) -> Path | None:
    """The teacher's tokenizer.json, if available."""
    from harness.assets.fetch import fetch

    if teacher is None:
        return None
    try:
        path = fetch(teacher.tokenizer or teacher.asset, sources).path / "tokenizer.json"
    except AssetError:
        return None
    return path if path.is_file() else None


def _is_small(corpus: Corpus, offline: Sources) -> bool:
    from harness.assets.fetch import fetch

    size = 0
    for asset in {text.asset for text in corpus.texts}:
        try:
            folder = fetch(asset, offline)
        except AssetError:
            return False
        size += sum((folder.path / name).stat().st_size for name in folder.files)
    return size <= SMALL


def not_counted(corpus: Corpus) -> str:
    """Message about a corpus that is too large to be read for a plan."""
    if not corpus.streaming:
        return f"corpus {corpus.name}: not counted; --survey fetches and counts it"
    budget = corpus.tokens_per_language
    limit = f"at most {budget:,} tokens a language" if budget else "to its end"
    return f"corpus {corpus.name}: streamed when the first trial needs it, {limit}; counted while it is read"


def survey_table(survey: Survey) -> Table:
    """Table with one line per language."""
    from rich.table import Table

    assert survey.languages is not None
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"corpus {survey.corpus.name}")
    for name in ("documents", "sentences", "characters", "tokens", "share"):
        table.add_column(name, justify="right")
    table.add_column("left out")
    shares = survey.shares
    for code, text in survey.languages.items():
        counts = (f"{value:,}" for value in (text.documents, text.sentences, text.characters))
        tokens, share = "", f"{shares[code]:.1%}" if code in shares else ""
        if (used := survey.tokens_used(code)) is not None:
            exact = survey.tokens[code].exact or used < survey.tokens[code].tokens
            tokens = f"{used:,}" if exact else f"≈ {float(f'{used:.3g}'):,.0f}"
        left_out = [f"{count:,} of {task}" for task, count in text.excluded.items() if count]
        left_out += [f"{text.duplicates:,} repeated"] if text.duplicates else []
        name = f"{code} (thin)" if text.thin else code
        table.add_row(name, *counts, tokens, share, ", ".join(left_out))
    return table


def survey_remarks(survey: Survey) -> Iterator[str]:
    """Remarks printed below the table."""
    assert survey.languages is not None
    thin = [code for code, text in survey.languages.items() if text.thin]
    if thin:
        floor = survey.corpus.floor_characters
        yield f"Little text, below {floor:,} characters: {', '.join(thin)}."
    excluded = sum(sum(text.excluded.values()) for text in survey.languages.values())
    if excluded:
        yield (
            f"{counted(excluded, 'sentence was', 'sentences were')} left out because a task evaluates on "
            f"{'it' if excluded == 1 else 'them'}."
        )
    held: dict[str, int] = {}
    for text in survey.languages.values():
        for task, count in text.overlap.items():
            held[task] = held.get(task, 0) + count
    still = {task: count for task, count in held.items() if count}
    if still:
        counts = ", ".join(f"{count:,} of {task}" for task, count in still.items())
        verdict = (
            "`run` will refuse it; `exclude_overlap: true` in the spec removes them"
            if survey.trains
            else "no model of this plan learns from it"
        )
        yield f"It still holds sentences that tasks are scored on ({counts}): {verdict}."
    elif held:
        yield f"It holds no sentence that a task is scored on (compared with {', '.join(held)})."
    if survey.unchecked:
        yield f"Not compared with {', '.join(survey.unchecked)}, whose data is not on this machine."
