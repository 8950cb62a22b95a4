"""A student as ONNX files in a folder: the encoder, or with the head of a task, fine-tuned again for it.

student -> (fine-tune as recorded) -> model.onnx, compared with PyTorch
                                   -> model_int8.onnx, scored on the task's own rows
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import torch

from harness.assets.sources import Sources
from harness.attempts.site import Site
from harness.errors import InputError
from harness.files import written_beside
from harness.kinds import FineTunedKind
from harness.models.loaded import LoadedModel, quiet_transformers
from harness.models.loading import load_folder
from harness.ranking.student import CARD, Model, card_with_results, find_model, weights_of
from harness.records.folder import TrialFolder
from harness.records.result import Score
from harness.records.trial import FinetuneJob, Trial
from harness.results.store import Store
from harness.service.card import Artefact, add_use
from harness.service.graph import Encoder, Exported, Session, write_graph
from harness.service.int8 import best_way
from harness.service.parity import compare
from harness.tasks.scoring import score
from harness.trials.finetune import FineTuned, fine_tune_again, predict
from harness.trials.finetune_rows import Part

FILE, INT8_FILE = "model.onnx", "model_int8.onnx"
CPU = torch.device("cpu")
MOST_LOST = 0.01
"""Score that an int8 file may lose on the rows of its task before it is refused; a point."""


@dataclass(frozen=True)
class Wanted:
    """What is to be exported."""

    student: str
    """As `find_model` reads it."""
    task: str | None = None
    """Task whose head goes with the encoder."""
    int8: bool = False
    force: bool = False
    """Write the int8 file whatever its score is."""


def export_onnx(
    store: Store, runs_dir: Path, sources: Sources, wanted: Wanted, out: Path, say: Callable[[str], None]
) -> str:
    """Write the new folder `out`; the student's trial. `say` hears what is being done.

    InputError where the student, its weights or a fine-tuning of it for the task is not here, or where a file fails its
    check: nothing is then left at `out`."""
    if wanted.int8 and wanted.task is None:
        raise InputError("--int8 needs --task: an int8 file is let through by its score on a task")
    model = find_model(store, wanted.student)
    source, sha256 = weights_of(runs_dir, model)
    trial = None if wanted.task is None else _fine_tuning(store, runs_dir, model, wanted.task)
    with written_beside(out) as written:
        with quiet_transformers():
            artefacts = _write(written, source, trial, runs_dir, sources, wanted, say)
        card = card_with_results((source / CARD).read_text(encoding="utf-8"), store, model, sha256)
        (written / CARD).write_text(add_use(card, artefacts, trial), encoding="utf-8")
    return model.key


def _write(
    folder: Path,
    source: Path,
    trial: Trial | None,
    runs_dir: Path,
    sources: Sources,
    wanted: Wanted,
    say: Callable[[str], None],
) -> list[Artefact]:
    """The files of `folder`, and what is known of each ONNX file."""
    tuned: FineTuned | None = None
    if trial is None:
        loaded = load_folder(source)
        model: Exported = Encoder(loaded.model).eval()
    else:
        say(f"fine-tuning again as trial {trial.id} was")
        tuned = _again(trial, runs_dir, sources)
        loaded, model = tuned.loaded, tuned.classifier
    loaded.tokenizer.save_pretrained(folder)
    model.model.config.save_pretrained(folder)
    say("writing the ONNX file")
    whole = _checked(model, loaded, folder / FILE)
    if trial is None or tuned is None:
        return [whole]
    say(f"scoring it on {wanted.task}")
    whole = _scored(whole, trial, tuned)
    if not wanted.int8:
        return [whole]
    say("quantising to int8, four ways, each scored on dev rows")
    way = best_way(
        folder / FILE,
        lambda path: _value_of(trial, tuned, path, tuned.rows.selecting),
        folder / INT8_FILE,
    )
    small = _scored(Artefact(folder / INT8_FILE, quantised=way.name), trial, tuned)
    _require_score(small, whole, wanted)
    return [whole, small]


def _checked(model: Exported, loaded: LoadedModel, path: Path) -> Artefact:
    """Write the float32 file and compare it with PyTorch."""
    write_graph(model, loaded.longest_input, path)
    parity = compare(Session(path), model, loaded.longest_input, int(loaded.tokenizer.pad_token_id or 0))
    parity.require()
    return Artefact(path, parity=parity)


def _fine_tuning(store: Store, runs_dir: Path, model: Model, task: str) -> Trial:
    """The recorded fine-tuning of a model whose setting dev scores chose; of several seeds, the best one by dev scores."""
    rows = store.frame(
        "SELECT e.trial_id, e.task FROM evaluations e JOIN trials t USING (trial_id) "
        "WHERE e.model_key = ? AND e.status = 'ok' AND e.selected ORDER BY t.dev_value DESC NULLS LAST, e.trial_id",
        [model.key],
    )
    mine = rows[rows["task"] == task]
    if mine.empty:
        known = ", ".join(sorted(set(rows["task"]))) or "none"
        raise InputError(
            f"--task {task}: {model.key} was not fine-tuned on it; tasks recorded for it: {known}"
        )
    trial_id = str(mine["trial_id"].iloc[0])
    trial = TrialFolder.of(runs_dir, trial_id).read_trial()
    if trial is None or not isinstance(trial.job, FinetuneJob):
        raise InputError(
            f"--task {task}: the folder of trial {trial_id} is not in {runs_dir}; run it again there"
        )
    if not isinstance(trial.job.task.kind, FineTunedKind):
        raise InputError(
            f"--task {task}: it has no head ({trial.job.task.kind.name} reads the encoder as it is); leave --task out"
        )
    return trial


def _again(trial: Trial, runs_dir: Path, sources: Sources) -> FineTuned:
    """Fine-tune in a folder of its own, so that what is recorded stays as it is."""
    with tempfile.TemporaryDirectory(prefix="distil-harness-") as temporary:
        for parent in runs_dir.iterdir():
            if parent.name != trial.id and (parent / "model").is_dir():
                (Path(temporary) / parent.name).symlink_to(parent.absolute(), target_is_directory=True)
        return fine_tune_again(trial, Site(Path(temporary), sources))


def _scored(artefact: Artefact, trial: Trial, tuned: FineTuned) -> Artefact:
    """With the score of this very file on the reported split, beside PyTorch's."""
    assert isinstance(trial.job, FinetuneJob)
    report = trial.job.task.report
    parts = [part for part in tuned.rows.predicted if part[0] == report]
    in_torch = [one for one in tuned.scores if one.split == report]
    return artefact.with_score(
        trial.job.task.name, report, _value_of(trial, tuned, artefact.path, parts), _mean(in_torch)
    )


def _value_of(trial: Trial, tuned: FineTuned, path: Path, parts: Sequence[Part]) -> float:
    """Mean of the task's metrics over `parts` of its rows, by the file at `path`; NaN where one is undefined."""
    job = trial.job
    assert isinstance(job, FinetuneJob)
    kind = job.task.kind
    assert isinstance(kind, FineTunedKind)
    session = Session(path)
    scores: list[Score] = []
    for part in parts:
        predicted = predict(
            session.outputs,
            kind,
            part,
            tuned.rows.part(part),
            padding=int(tuned.loaded.tokenizer.pad_token_id or 0),
            device=CPU,
        )
        scores += score(job.task, predicted, tuned.rows.data.data_ids[part], job.recipe.select_on)
    return _mean(scores)


def _mean(scores: Sequence[Score]) -> float:
    """NaN where one is undefined, as a correlation with constant predictions is."""
    values = [float("nan") if one.value is None else one.value for one in scores]
    return sum(values) / len(values)


def _require_score(small: Artefact, whole: Artefact, wanted: Wanted) -> None:
    lost = whole.score - small.score
    if lost <= MOST_LOST or wanted.force:
        return
    cost = (
        f"int8 costs {100 * lost:.1f} points on {wanted.task} ({100 * whole.score:.1f} to {100 * small.score:.1f}), and "
        f"at most {100 * MOST_LOST:g} is let through"
    )
    if isnan(lost):
        cost = f"what int8 costs on {wanted.task} is undefined: a file predicts the same for every row"
    raise InputError(f"nothing is exported: {cost}; leave --int8 out, or write it all the same with --force")
