"""Whether folders, their files and the database agree; everything is recomputed from the files on disk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.base import RULE, identity
from harness.counted import counted
from harness.errors import InputError
from harness.files import sha256_of
from harness.kinds import metrics
from harness.records.encoder import start_of
from harness.records.folder import TrialFolder, trial_folders
from harness.records.rarity import RarityScore
from harness.records.result import Result
from harness.records.trial import AnalyseJob, DistilJob, FinetuneJob, Start, Trial
from harness.results import predictions
from harness.results import tables as rows
from harness.results.store import Store

CLOSE = 1e-9
"""Scores this close count as equal: another machine may add in another order."""


@dataclass(frozen=True)
class Disagreement:
    """An inconsistency of one trial."""

    trial_id: str
    message: str

    def __str__(self) -> str:
        return f"{self.trial_id}: {self.message}"


def verify(runs_dir: Path, store: Store | None = None) -> list[Disagreement]:
    """Every disagreement below `runs_dir`, and with the database if one is given; empty if there is none."""
    disagreements: list[Disagreement] = []
    hashes: dict[str, str | None] = {}
    folders = list(trial_folders(runs_dir))
    trials = {trial.id: trial for folder in folders if (trial := folder.read_trial())}
    for trial in trials.values():
        disagreements += [Disagreement(trial.id, message) for message in family_problems(trial, trials)]
    for folder in folders:
        disagreements += [Disagreement(folder.path.name, message) for message in folder_problems(folder)]
        result = folder.read_result()
        hashes[folder.path.name] = rows.record_sha256(result) if result else None
    if store is not None and store.exists:
        disagreements += _database_problems(store, hashes)
        disagreements += _reported_problems(store, trials)
    return disagreements


def folder_problems(folder: TrialFolder) -> Iterator[str]:
    """Problems inside one folder."""
    trial = folder.read_trial()
    if trial is None:
        yield "trial.json is missing or unreadable"
        return
    yield from trial_problems(trial, folder.path.name)
    if not (folder.path / "result.json").exists():
        return
    result = folder.read_result()
    if result is None:
        yield "result.json is unreadable"
        return
    yield from result_problems(trial, result)
    yield from weight_problems(folder, result)
    yield from score_problems(trial, result, folder.predictions)


def trial_problems(trial: Trial, name: str) -> Iterator[str]:
    """Problems if the id, or a student's configuration, does not follow from the trial's content."""
    if trial.id != name:
        yield f"trial.json is of another trial ({trial.id})"
    if trial.job.kind != trial.kind:
        yield f"it is called {trial.kind}, its job is {trial.job.kind}"
    if trial.id_rule > RULE:
        yield f"its id was given by rule {trial.id_rule}, and this harness knows up to {RULE}; update it"
        return
    if (wanted := trial.expected_id()) != trial.id:
        yield f"its id does not follow from its contents ({wanted} would)"
    configuration = trial.expected_config_id()
    if configuration is not None and trial.config_id != configuration:
        yield "its configuration does not follow from its contents"


def family_problems(trial: Trial, parents: dict[str, Trial]) -> Iterator[str]:
    """Problems if an evaluation does not belong to the configuration of the student it scores, or a student that nothing
    trains starts elsewhere than it should."""
    job = trial.job
    if trial.start is not None:
        begins = start_of(job, trial.data, parents) if isinstance(job, DistilJob) else None
        if not trial.is_control or (begins is not None and identity(begins) != identity(trial.start)):
            yield "its start does not follow from its contents"
    if not isinstance(job, FinetuneJob):
        return
    for read in job.model.makers:
        if read not in trial.parents:
            yield f"it scores the model of {read}, which is not among its parents"
    if isinstance(job.model, Start) or job.model.trial is None:
        return
    maker = parents.get(job.model.trial)
    if maker is not None and maker.kind == "distil" and maker.config_id != trial.config_id:
        yield "it is counted to another configuration than the student it scores"


def result_problems(trial: Trial, result: Result) -> Iterator[str]:
    """Problems if the result does not belong to the trial or is incomplete."""
    if result.trial_id != trial.id:
        yield f"result.json is of another trial ({result.trial_id})"
    if result.kind != trial.kind:
        yield f"result.json is of a {result.kind} trial"
    if result.status == "failed" and result.error is None:
        yield "it failed without a reason"
    if isinstance(trial.job, AnalyseJob) and result.status == "ok":
        yield from analysis_problems(trial.job, result)
    elif result.analysis is not None:
        yield f"a {trial.kind} trial holds an analysis"
    if isinstance(trial.job, FinetuneJob):
        task = trial.job.task
        strange = {score.task for score in result.scores} - {task.name}
        if strange:
            yield f"it scores {', '.join(sorted(strange))}, its task is {task.name}"
        yield from split_problems(trial.job, result)
        yield from rarity_problems(trial.job, result)


def analysis_problems(job: AnalyseJob, result: Result) -> Iterator[str]:
    """Problems if an analysis is missing, out of range, or of other objectives, or a loss is not that of its terms."""
    if result.analysis is None:
        yield "its analysis is missing"
        return
    yield from result.analysis.problems()
    methods = {method.name: method for method in job.objectives}
    if sorted(methods) != sorted(one.objective for one in result.analysis.transfers):
        yield "it is not measured by the objectives of its job"
        return
    for one in result.analysis.transfers:
        weights = [term.weight for term in methods[one.objective].objective]
        values = list(one.terms.values())
        if one.loss is None:
            if not one.missing:
                yield f"its loss by {one.objective} is missing without a reason"
        elif len(values) != len(weights) or any(value is None for value in values):
            yield f"its loss by {one.objective} lacks terms"
        else:
            again = sum(w * v for w, v in zip(weights, values, strict=True) if v is not None)
            if not math.isclose(one.loss, again, rel_tol=1e-5, abs_tol=1e-9):
                yield f"its loss by {one.objective} is given as {one.loss}, its terms give {again}"


def rarity_problems(job: FinetuneJob, result: Result) -> Iterator[str]:
    """Problems if scores by rarity are not of all reported rows, or accuracies do not add up to the reported one."""
    reported = {(one.language, one.metric): one for one in result.scores if one.split == job.task.report}
    parts: dict[tuple[str, str], list[RarityScore]] = {}
    for part in result.rarity:
        parts.setdefault((part.language, part.metric), []).append(part)
    for key, own in parts.items():
        where = f"its scores by rarity ({key[1]}, {key[0]})"
        whole = reported.get(key)
        if whole is None or sum(one.n for one in own) != whole.n:
            yield f"{where} are not of the rows that it reports"
        elif key[1] == "accuracy":
            again = sum(one.n * (one.value or 0.0) for one in own) / whole.n
            if not _same(whole.value, again):
                yield f"{where} give {again:.6f}, it reports {whole.value}"


def split_problems(job: FinetuneJob, result: Result) -> Iterator[str]:
    """Problems if the reported split has no score, or `dev_as_test` is not set exactly on reported dev scores."""
    report = job.task.report
    if job.counts and result.status == "ok" and report not in {score.split for score in result.scores}:
        yield f"it reports the split {report}, of which it has no score"
    for score in result.scores:
        if ("dev_as_test" in score.flags) != (score.split == report == "dev"):
            stated = "is flagged" if "dev_as_test" in score.flags else "is not flagged"
            yield f"{score.metric} of {score.split}, {score.language} {stated} dev_as_test, and it reports {report}"


def weight_problems(folder: TrialFolder, result: Result) -> Iterator[str]:
    """Problems if the weights differ from those named in the result; removed weights are no problem."""
    weights = folder.model / "model.safetensors"
    if result.weights_sha256 and weights.is_file() and sha256_of(weights) != result.weights_sha256:
        yield "model.safetensors is not the file that result.json names"


def score_problems(trial: Trial, result: Result, path: Path) -> Iterator[str]:
    """Problems if the scores do not follow from the predictions, where these are kept."""
    if not isinstance(trial.job, FinetuneJob) or not path.is_file():
        return
    try:
        stored = predictions.read(path)
        names = predictions.label_names(path)
    except InputError as error:
        yield str(error)
        return
    if names is not None and names != tuple(trial.job.task.labels):
        yield f"its predictions are of the labels {', '.join(names)}, its task's are {', '.join(trial.job.task.labels)}"
    groups = dict(iter(stored.groupby(["split", "language"], sort=False)))
    for score in result.scores:
        where = f"{score.metric} of {score.split}, {score.language}"
        group = groups.get((score.split, score.language))
        if group is None:
            yield f"no predictions for {where}"
            continue
        if len(group) != score.n:
            yield f"{where}: {counted(len(group), 'prediction')} for a score of {counted(score.n, 'row')}"
            continue
        try:
            again = metrics.compute(score.metric, group["prediction"], group["label"])
        except (InputError, ValueError) as error:
            yield f"{where}: {error}"
            continue
        if not _same(score.value, again):
            yield f"{where} is given as {score.value}, the predictions give {again:.6f}"


def _same(given: float | None, computed: float) -> bool:
    if given is None or math.isnan(given):
        return math.isnan(computed)
    return not math.isnan(computed) and math.isclose(given, computed, rel_tol=0, abs_tol=CLOSE)


def _database_problems(store: Store, hashes: dict[str, str | None]) -> Iterator[Disagreement]:
    stored = store.frame("SELECT trial_id, status, result_sha256 FROM trials")
    known = dict(zip(stored["trial_id"], stored["result_sha256"], strict=True))
    planned = set(stored.loc[stored["status"] == "planned", "trial_id"])
    for name, sha in hashes.items():
        if name not in known or (name in planned and sha is not None):
            yield Disagreement(name, "the database does not know it; `harness ingest` puts it in")
        elif sha is not None and known[name] != sha:
            yield Disagreement(name, "the database holds another result; `harness ingest` rebuilds it")
        elif sha is None and isinstance(known[name], str):
            yield Disagreement(name, "the database holds a result that its folder lacks")
    for name in known:
        if name not in hashes and name not in planned:
            yield Disagreement(
                name, "the database knows it, its folder is gone; `harness ingest` rebuilds the database"
            )


def _reported_problems(store: Store, trials: dict[str, Trial]) -> Iterator[Disagreement]:
    """Trials for which the database reports another split than the trial does."""
    stored = store.frame("SELECT DISTINCT trial_id, split FROM scores WHERE reported")
    for name, split in zip(stored["trial_id"], stored["split"], strict=True):
        job = trials[name].job if name in trials else None
        if isinstance(job, FinetuneJob) and job.task.report != split:
            yield Disagreement(
                name,
                f"the database reports its score on {split}, its task's is {job.task.report}; `harness ingest` "
                "rebuilds it",
            )
