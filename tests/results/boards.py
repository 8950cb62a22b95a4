"""Synthetic boards: invented scores in real records, laid out in folders as a run would leave them.

Nothing was trained for these numbers. They exist so that the store, the ranking and the pages can be tried on
boards of any shape.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.base import RULE, digest
from harness.errors import REASONS
from harness.records.folder import TrialFolder
from harness.records.result import Failure, Measurement, Progress, Result, Score
from harness.records.trial import (
    RECIPE_VERSIONS,
    DistilJob,
    FinetuneJob,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Trial,
    config_id,
    trial_id,
)
from harness.results import tables as rows
from harness.results.store import Recorded, Store, write_database
from harness.spec.entries import Corpus, Method, Student, Teacher
from harness.spec.initialisation import Initialisation
from harness.spec.languages import language_set_name
from harness.spec.recipes import Distil, Measure, Prepare

from .ingredients import (
    METHODS,
    QUICK,
    STUDENTS,
    TaskShape,
    asset_of,
    provenance,
    recipe_of,
    student_of,
    task_of,
    teacher_of,
)


def weights_of(teacher: str) -> dict[str, str]:
    """The identity of a teacher's files, as a trial records it."""
    return {"teacher": digest(f"weights of {teacher}", 64)}


T0 = 1_790_000_000.0


@dataclass(frozen=True)
class Board:
    """What a synthetic board holds."""

    methods: Sequence[str] = ("scratch", "od", "hs-uniform", "minilmv2")
    students: Sequence[str] = ("6L-384", "3L-192")
    tasks: Sequence[TaskShape] = QUICK
    seeds: Sequence[int] = (1, 2, 3)
    finetune_seeds: Sequence[int] = (0,)
    learning_rates: Sequence[float] = (3e-5,)
    distil_rates: Sequence[float] = (6e-4,)
    select: str = ""
    """Axes over which the spec selects."""
    languages: tuple[str, ...] = ("en",)
    noise: float = 0.008
    """Standard deviation of a distilled student's skill."""
    prepared: bool = True
    measured: bool = True
    rows: int = 1000
    """Rows of each test split."""
    fail: dict[str, str] = field(default_factory=dict)
    """Method -> reason: its first student fails to distil (no evaluations follow)."""
    gaps: dict[str, str] = field(default_factory=dict)
    """Method -> task that its students lack."""
    running: Sequence[str] = ()
    """Methods whose last distil trial is still under way."""
    milestones: tuple[int, ...] = ()
    """Steps at which intermediate students were exported and evaluated."""
    teacher: str = "minilm-l6"
    steps: int = 2000
    """Of distillation."""
    undefined: dict[str, str] = field(default_factory=dict)
    """Method -> task on which the score of its last student is not defined."""
    equal: bool = False
    """Whether all methods are equally good."""


def entries(board: Board) -> Iterator[tuple[Trial, Result | None, list[Progress]]]:
    """Every trial of the board with its result, parents first."""
    teacher = teacher_of(board.teacher)
    corpus = Corpus(
        name="text", texts=({"language": code, "asset": asset_of(f"text-{code}")} for code in board.languages)
    )
    source = ModelSource(teacher=teacher)
    labels = {"teacher": board.teacher, "language": language_set_name(board.languages)}
    yield from _evaluations(
        board, ModelSource(teacher=teacher), None, digest(teacher), labels | {"family": "teacher"}, 0.985
    )
    if board.prepared:
        job = PrepareJob(teacher=teacher, corpus=corpus, recipe=Prepare(steps=500, warmup_steps=50))
        trial = _trial("prepare", job, (), None, labels)
        yield (
            trial,
            _result(trial, 300.0, measurements=[_measured("masked_accuracy", 0.31, "share")]),
            _curve(trial, 500, ["mlm"]),
        )
        source = ModelSource(trial=trial.id)
        config = digest([trial.id])
        yield from _evaluations(board, source, trial, config, labels | {"family": "teacher"}, 1.0)
    if board.measured:
        yield _measure(teacher, None, board)
    for name in board.students:
        student = student_of(name)
        if board.measured:
            yield _measure(teacher, student, board)
        for method in board.methods:
            yield from _students(board, source, method, student, corpus, labels)


def _students(
    board: Board, source: ModelSource, method: str, student: Student, corpus: Corpus, labels: dict[str, str]
) -> Iterator[tuple[Trial, Result | None, list[Progress]]]:
    family, objective, kept = METHODS[method]
    skill = (0.8 if board.equal else kept) * STUDENTS[student.name][3]
    for rate in board.distil_rates:
        for seed in board.seeds:
            job = DistilJob(
                teacher=source,
                method=Method(name=method, family=family, objective=tuple(objective)),
                student=student,
                init=Initialisation(),
                corpus=corpus,
                recipe=Distil(
                    steps=board.steps, warmup_steps=100, learning_rate=rate, milestones=board.milestones
                ),
                seed=seed,
            )
            config = config_id(job, weights_of(board.teacher), (source.trial,) if source.trial else ())
            names = labels | {"method": method, "family": family, "student": student.name, "seed": str(seed)}
            names |= {"select": board.select} if board.select else {}
            trial = _trial("distil", job, (source.trial,) if source.trial else (), config, names)
            terms = [one["term"] for one in objective]
            if seed == board.seeds[0] and method in board.fail:
                yield trial, _failed(trial, board.fail[method]), _curve(trial, 2000, terms, until=700)
                continue
            if seed == board.seeds[-1] and method in board.running:
                yield trial, None, _curve(trial, 2000, terms, until=1200)
                continue
            yield trial, _result(trial, 620.0, tokens=board.steps * 4096), _curve(trial, board.steps, terms)
            luck = _rng(trial.id).normal(0, board.noise)
            yield from _evaluations(board, ModelSource(trial=trial.id), trial, config, names, skill + luck)
            for step in board.milestones:
                early = ModelSource(trial=trial.id, milestone=step)
                reached = (skill + luck) * (1 - 0.3 * np.exp(-step / 600))
                yield from _evaluations(
                    board, early, trial, config, names | {"milestone": str(step)}, reached
                )


def _evaluations(
    board: Board, model: ModelSource, maker: Trial | None, config: str, labels: dict[str, str], skill: float
) -> Iterator[tuple[Trial, Result | None, list[Progress]]]:
    for shape in board.tasks:
        if shape.name == board.gaps.get(labels.get("method", "")):
            continue
        for rate in board.learning_rates:
            for seed in board.finetune_seeds:
                job = FinetuneJob(
                    model=model,
                    task=task_of(shape),
                    languages=shape.languages,
                    recipe=recipe_of(rate),
                    seed=seed,
                )
                names = labels | {
                    "task": shape.name,
                    "learning_rate": f"{rate:g}",
                    "finetune_seed": str(seed),
                }
                parents = (maker.id,) if maker else ()
                read = {f"task/{shape.name}": digest(shape.name)} | (
                    {} if parents else weights_of(board.teacher)
                )
                trial = _trial("finetune", job, parents, config, names, read)
                scores = list(_scores(trial, shape, skill - 0.01 * abs(np.log(rate / 3e-5)), board.rows))
                if board.undefined.get(labels.get("method", "")) == shape.name and labels.get("seed") == str(
                    board.seeds[-1]
                ):
                    scores = [score.model_copy(update={"value": None}) for score in scores]
                    yield trial, _result(trial, 95.0, scores=scores, tokens=900_000), []
                    continue
                dev = float(np.mean([score.value for score in scores if score.split == "dev"]))
                yield trial, _result(trial, 95.0, scores=scores, dev_value=dev, tokens=900_000), []


def _scores(trial: Trial, shape: TaskShape, skill: float, n: int) -> Iterator[Score]:
    rng = _rng(trial.id)
    for position, language in enumerate(shape.languages):
        for split in ("dev", "test"):
            chance = 0.0 if shape.metrics == ("matthews",) else 1 / shape.labels
            fade = 1.0 if language == "en" else 0.72 - 0.02 * (position % 7)
            for metric in shape.metrics:
                expected = chance + (shape.top - chance) * skill**2 * fade
                value = float(np.clip(rng.normal(expected, 0.006), -1, 1))
                yield Score(
                    suite=shape.suite,
                    task=shape.name,
                    language=language,
                    split=split,
                    metric=metric,
                    value=round(value * n) / n,
                    n=n,
                    no_information=None if metric == "f1" else chance,
                    data_id=digest([shape.name, language, split], length=64),
                )


def _measure(teacher: Teacher, student: Student | None, board: Board) -> tuple[Trial, Result, list[Progress]]:
    job = MeasureJob(teacher=teacher, student=student, protocol=Measure(), fingerprint="synthetic-cpu-1t")
    labels = {"teacher": teacher.name} | ({"student": student.name} if student else {})
    trial = _trial("measure", job, (), None, labels)
    layers, width = (student.layers, student.width) if student else (12, 768)
    core = 12.0 * layers * width**2
    timing = "batch 1, 128 tokens, fp32, 1 thread, median of 20"
    found = [
        _measured("parameters", core + 30522 * width, "parameters"),
        _measured("parameters_without_embeddings", core, "parameters"),
        _measured("flops", 2 * core * 128, "FLOPs"),
        _measured("latency_ms", core / 4e5, "ms", timing, spread=0.02),
        _measured(
            "throughput",
            4e10 / core,
            "examples/s",
            "batch 32, 128 tokens, fp32, 1 thread, median of 20",
            spread=0.03,
        ),
    ]
    return trial, _result(trial, 12.0, measurements=found), []


def _measured(
    metric: str, value: float, unit: str, protocol: str = "counted", spread: float | None = None
) -> Measurement:
    return Measurement(metric=metric, value=value, unit=unit, protocol=protocol, spread=spread)


def _trial(
    kind: Any,
    job: Any,
    parents: tuple[str, ...],
    config: str | None,
    labels: dict[str, str],
    data: dict[str, str] | None = None,
) -> Trial:
    data = data or weights_of(labels["teacher"])
    return Trial(
        id=trial_id(kind, job, data, parents),
        id_rule=RULE,
        kind=kind,
        recipe_version=RECIPE_VERSIONS[kind],
        job=job,
        data=data,
        parents=parents,
        config_id=config,
        labels=labels,
        spec="synthetic",
    )


def _result(trial: Trial, seconds: float, **columns: Any) -> Result:
    start = T0 + zlib.crc32(trial.id.encode()) % 10_000
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="ok",
        started_at=start,
        finished_at=start + seconds,
        seconds=seconds,
        tokens_per_second=columns.get("tokens", 0) / seconds or None,
        weights_sha256=digest([trial.id, "weights"], 64),
        provenance=provenance(),
        **columns,
    )


def _failed(trial: Trial, reason: str) -> Result:
    assert reason in REASONS
    error = Failure(
        reason=reason,
        message=f"the loss of {trial.labels['method']} became {reason} at step 700",
        step=700,
        term="logits",
    )
    done = _result(trial, 210.0)
    return done.model_copy(update={"status": "failed", "error": error, "weights_sha256": None})


def _curve(trial: Trial, steps: int, terms: list[str], until: int | None = None) -> list[Progress]:
    start = T0 + zlib.crc32(trial.id.encode()) % 10_000
    lines = []
    for step in range(0, (until or steps) + 1, 20):
        losses = {term: float(2.5 * np.exp(-step / 500) + 0.4 + 0.1 * i) for i, term in enumerate(terms)}
        lines.append(
            Progress(
                step=step,
                steps=steps,
                loss=sum(losses.values()),
                terms=losses,
                learning_rate=6e-4 * (1 - step / steps),
                tokens_per_second=13_000.0,
                at=start + step * 0.3,
            )
        )
    return lines


def _rng(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def _with_predictions(folder: TrialFolder, result: Result) -> Result:
    """Invent predictions for accuracy tasks and set the scores to what they give."""
    frames, scores = [], []
    for score in result.scores:
        rng = _rng(score.task + score.language + score.split)
        labels = rng.integers(0, 2, score.n)
        wrong = _rng(result.trial_id + score.split).permutation(score.n)[
            : round((1 - (score.value or 0)) * score.n)
        ]
        guesses = labels.copy()
        guesses[wrong] = 1 - guesses[wrong]
        columns = {"split": score.split, "language": score.language, "row": range(score.n), "label": labels}
        frames.append(pd.DataFrame(columns | {"prediction": guesses}))
        scores.append(score.model_copy(update={"value": float((labels == guesses).mean())}))
    pd.concat(frames).to_parquet(folder.predictions, index=False)
    return result.model_copy(update={"scores": tuple(scores)})


def write_folders(runs_dir: Path, board: Board, *, predictions: bool = False) -> int:
    """Lay the board out as trial folders, with predictions if asked (accuracy tasks only); how many."""
    count = 0
    for trial, result, progress in entries(board):
        folder = TrialFolder.of(runs_dir, trial.id)
        folder.write_trial(trial)
        if progress:
            folder.progress_file.write_text("".join(line.model_dump_json() + "\n" for line in progress))
        if result and predictions and trial.kind == "finetune":
            result = _with_predictions(folder, result)
        if result:
            folder.write_result(result)
        count += 1
    return count


def write_store(path: Path, *boards: Board) -> Store:
    """The boards straight into a new database, without folders."""
    seen: dict[str, Recorded] = {}
    for board in boards:
        for trial, result, progress in entries(board):
            seen[trial.id] = Recorded(trial, result, rows.progress_rows(trial.id, progress))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_database(path, list(seen.values()))
    return Store(path)
