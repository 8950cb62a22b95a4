"""Models that count as having the same encoder have it to the last bit, and the same scores; all others do not."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.assets.fetch import fetch
from harness.families import FAMILIES
from harness.models.export import export_model
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.records.encoder import encoder_of
from harness.records.folder import TrialFolder
from harness.records.trial import (
    DistilJob,
    FinetuneJob,
    ModelSource,
    PrepareJob,
    Start,
    Trial,
    trial_id,
)
from harness.results.tables import encoder_key
from harness.shapes import read_shape
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation
from harness.trials.load import load_source
from harness.trials.run import run_trials

from .world import (
    FLAT_STUDENT,
    TINY_STUDENT,
    World,
    distil_trial,
    finetune_trial,
    local,
    make_world,
    prepare_trial,
    verb_task,
)

SHORT = {"steps": 2, "warmup_steps": 0}
SPELT_OUT = TINY_STUDENT.model_copy(update={"name": "the-same", "init": Initialisation()})
INITS = {
    "random": Initialisation(),
    "embeddings": Initialisation.model_validate({"from": "teacher", "layers": "random"}),
    "layers": Initialisation.model_validate({"from": "teacher", "layers": "first"}),
}


def changed(trial: Trial, maker: Trial | None = None, init: Initialisation | None = None) -> Trial:
    """A distil trial with another teacher or start."""
    job = trial.job
    assert isinstance(job, DistilJob)
    teacher = job.teacher if maker is None else ModelSource(trial=maker.id)
    parents = () if maker is None else (maker.id,)
    job = job.model_copy(update={"teacher": teacher, "init": init or job.init})
    identity = trial_id("distil", job, {}, parents)
    return trial.model_copy(update={"id": identity, "job": job, "parents": parents})


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def models(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[World, dict[str, Trial]]:
    """Trials by id: teachers prepared in part and in whole, students that learnt, and controls of all of them; those that
    others are built from have run."""
    world = make_world(tmp_path_factory.mktemp(request.param), request.param)
    head, again = (prepare_trial(world, **SHORT, train="head", seed=seed) for seed in (0, 1))
    whole = prepare_trial(world, **SHORT)
    taught = distil_trial(world, "od", **SHORT)
    between = Student(name="between", layers=3, width=24, heads=3, ffn=48)
    assistant = changed(distil_trial(world, "od", student=between, **SHORT), head)
    made = [head, again, whole, taught, assistant]
    results = run_trials(made[:3], world.site()) + run_trials(made[3:], world.site())
    assert [result.error for result in results] == [None] * 5
    begun = build_student(load_folder(world.folder / "teacher"), TINY_STUDENT, Initialisation(), seed=7)
    begin, whole_shape = world.folder / "begin", read_shape(world.folder / "teacher")
    export_model(begun, load_folder(world.folder / "teacher").tokenizer, begin, mlm_head=True, card="")
    inits = {
        **INITS,
        "checkpoint": Initialisation.model_validate({"from": "checkpoint", "checkpoint": local(begin)}),
    }
    for student, init, seed in itertools.product(
        (TINY_STUDENT, SPELT_OUT, FLAT_STUDENT), inits.values(), (1, 2)
    ):
        if init.checkpoint is not None and student is FLAT_STUDENT:
            continue
        for maker in (None, head, again, whole, assistant):
            shape = between.shape(whole_shape) if maker is assistant else whole_shape
            if next(init.problems(shape, student.shape(shape)), None) is not None:
                continue  # wider than it, or of other heads than its family copies
            made.append(changed(distil_trial(world, "scratch", student=student, seed=seed), maker, init))
    made.append(distil_trial(world, "od", steps=0, warmup_steps=0))
    return world, {trial.id: trial for trial in made}


def own_encoder(world: World, trial: Trial) -> dict[str, Tensor]:
    """The weights of the model that a trial makes, from its job alone."""
    job, site = trial.job, world.site()
    if isinstance(job, PrepareJob) or (isinstance(job, DistilJob) and job.trains):
        model = load_folder(TrialFolder.of(site.runs_dir, trial.id).model).model
    else:
        assert isinstance(job, DistilJob)
        files = job.init.checkpoint
        model = build_student(
            load_source(job.teacher, site),
            job.student,
            job.init,
            seed=job.seed,
            checkpoint=fetch(files, site.sources).path if files else None,
        )
    return dict(model.base_model.state_dict())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.some(2)
def test_encoders_are_the_same_to_the_last_bit_where_they_count_as_the_same_and_nowhere_else(
    models: tuple[World, dict[str, Trial]],
) -> None:
    world, trials = models
    weights = {name: own_encoder(world, trial) for name, trial in trials.items()}
    groups: dict[str, list[str]] = {}
    for name, trial in trials.items():
        groups.setdefault(encoder_key(trial, trials), []).append(name)
    for key, members in groups.items():
        standing = load_source(encoder_of(trials[members[0]], trials), world.site())
        for name in members:
            assert same(dict(standing.model.base_model.state_dict()), weights[name]), trials[name]
        for other, strangers in groups.items():
            assert other == key or not same(weights[members[0]], weights[strangers[0]])
    assert 2 * len(groups) < len(trials)


@pytest.mark.parametrize("init", INITS)
def test_a_control_exports_what_its_fine_tuning_starts_from(world: World, init: str) -> None:
    site = world.site("exported")
    head = prepare_trial(world, **SHORT, train="head")
    control = changed(distil_trial(world, "scratch"), head, INITS[init])
    start = encoder_of(control, {head.id: head})
    assert isinstance(start, Start)
    [result] = run_trials([control.model_copy(update={"start": start})], site)
    assert result.status == "ok", result.error  # though the teacher that its job names was never prepared
    assert result.weights_sha256 == load_source(start, site).sha256
    exported = load_folder(TrialFolder.of(site.runs_dir, control.id).model)
    assert exported.tokenizer_sha256 == load_source(start, site).tokenizer_sha256
    assert not (site.runs_dir / head.id).exists()


def test_scores_of_one_encoder_are_the_same_whichever_of_its_models_is_fine_tuned(
    world: World, tmp_path: Path
) -> None:
    site = world.site(str(tmp_path / "runs"))
    head = prepare_trial(world, **SHORT, train="head")
    control = distil_trial(world, "scratch")
    run_trials([head, control], site)
    task = verb_task(tmp_path / "task")

    def answers(model: ModelSource | Start) -> object:
        plain = finetune_trial(world, task, epochs=1)
        assert isinstance(plain.job, FinetuneJob)
        job = plain.job.model_copy(update={"model": model})
        parents = model.makers
        trial = plain.model_copy(
            update={"id": trial_id("finetune", job, {}, parents), "job": job, "parents": parents}
        )
        [result] = run_trials([trial], site)
        assert result.status == "ok", result.error
        predicted = TrialFolder.of(site.runs_dir, trial.id).predictions.read_bytes()
        return result.scores, result.dev_value, result.facts, predicted

    for made in (head, control):
        assert answers(ModelSource(trial=made.id)) == answers(encoder_of(made, {}))
