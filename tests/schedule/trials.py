"""Small plans and trivial work for the tests of scheduling. The records are real; only the work is not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.assets.asset import Asset, LocalSource
from harness.base import digest
from harness.devices import provenance
from harness.errors import DeviceLostError, TrialError
from harness.methods.terms import HiddenStates
from harness.plan import build_plan
from harness.records.folder import TrialFolder
from harness.records.result import Progress, Result
from harness.records.trial import (
    DistilJob,
    FinetuneJob,
    FinetuneRecipe,
    MeasureJob,
    ModelSource,
    PrepareJob,
    Trial,
)
from harness.spec.entries import (
    Columns,
    Corpus,
    CorpusText,
    Method,
    Split,
    Student,
    Task,
    Teacher,
)
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil, Measure, Prepare, Resources
from harness.spec.resolve import load_spec
from harness.trials.halving import standing_of
from tests.spec.writing import write_spec

if TYPE_CHECKING:
    from harness.attempts.site import Site

ASSET = Asset(sources=(LocalSource(path="nowhere"),))
TEACHER = Teacher(name="teacher", asset=ASSET)
CORPUS = Corpus(name="corpus", texts=(CorpusText(language="en", asset=ASSET),))
TASK = Task(
    name="task",
    suite="suite",
    assets={"data": ASSET},
    splits={"train": Split(files="train"), "test": Split(files="test")},
    columns=Columns(text="text", label="label"),
    labels={"no": 0, "yes": 1},
    metrics=("accuracy",),
)
ONE_CORE = Resources(cpus=1)


def prepare(name: str = "p", resources: Resources = ONE_CORE) -> Trial:
    """A `prepare` trial."""
    job = PrepareJob(teacher=TEACHER, corpus=CORPUS, recipe=Prepare(steps=10, warmup_steps=1))
    return Trial(id=_id(name), kind="prepare", recipe_version=1, job=job, data={}, resources=resources)


def distil(
    name: str, parent: Trial | None = None, layers: int = 2, seed: int = 1, resources: Resources = ONE_CORE
) -> Trial:
    """A `distil` trial; those of equal parent and seed make a cohort."""
    job = DistilJob(
        teacher=ModelSource(trial=parent.id) if parent else ModelSource(teacher=TEACHER),
        method=Method(name="method", family="HS", objective=(HiddenStates(),)),
        student=Student(name="student", layers=layers, width=64, heads=2),
        init=Initialisation(),
        corpus=CORPUS,
        recipe=Distil(steps=10, warmup_steps=1),
        seed=seed,
    )
    parents = (parent.id,) if parent else ()
    labels = {"method": name}
    return Trial(
        id=_id(name), kind="distil", recipe_version=1, job=job, data={}, parents=parents, labels=labels,
        resources=resources,
    )  # fmt: skip


def finetune(name: str, parent: Trial | None = None, resources: Resources = ONE_CORE) -> Trial:
    """A `finetune` trial."""
    recipe = FinetuneRecipe(
        learning_rate=1e-4, epochs=1, batch_size=8, length=32, warmup_ratio=0.1, weight_decay=0.0,
        betas=(0.9, 0.999), epsilon=1e-6, clip_norm=None, dropout=0.0, precision="fp32", train_rows=100,
        patience=None, select_on="dev",
    )  # fmt: skip
    model = ModelSource(trial=parent.id) if parent else ModelSource(teacher=TEACHER)
    job = FinetuneJob(model=model, task=TASK, languages=("en",), recipe=recipe, seed=0)
    parents = (parent.id,) if parent else ()
    return Trial(
        id=_id(name),
        kind="finetune",
        recipe_version=1,
        job=job,
        data={},
        parents=parents,
        resources=resources,
    )


def measure(name: str, resources: Resources = ONE_CORE) -> Trial:
    """A `measure` trial."""
    job = MeasureJob(teacher=TEACHER, protocol=Measure(), fingerprint="this machine")
    return Trial(id=_id(name), kind="measure", recipe_version=1, job=job, data={}, resources=resources)


def small_plan(resources: Resources = ONE_CORE) -> list[Trial]:
    """One teacher prepared, a cohort of four students, two tasks each, and two measurements."""
    teacher = prepare(resources=resources)
    students = [distil(f"student {n}", teacher, resources=resources) for n in range(4)]
    tasks = [finetune(f"task {n} of {s.id}", s, resources) for s in students for n in range(2)]
    return [teacher, *students, *tasks, measure("m0"), measure("m1")]


def waiting_plan() -> list[Trial]:
    """Four trials that wait for a teacher, and one that does not."""
    teacher = prepare()
    return [teacher, finetune("at once"), *(finetune(f"after {n}", teacher) for n in range(4))]


def succeed(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Every trial ends well at once; who ran what, when and where is written to `log.jsonl`."""
    began = time.time()
    results = [succeeded(trial, place) for trial in trials]
    note(place, trials, began)
    return results


def succeeded(trial: Trial, place: Site, **fields: Any) -> Result:
    """What a trial that ended well leaves. Written without torch, which takes seconds to import."""
    now = time.time()
    found: dict[str, Any] = {
        "trial_id": trial.id, "kind": trial.kind, "status": "ok", "started_at": now, "finished_at": now,
        "seconds": 0.1, "provenance": provenance.collect(device="cpu", precision="fp32", threads=1),
    }  # fmt: skip
    result = Result(**{**found, **fields})
    folder = TrialFolder.of(place.runs_dir, trial.id)
    folder.write_trial(trial)
    folder.write_result(result)
    return result


def climb(trials: Sequence[Trial], place: Site) -> list[Result]:
    """As `succeed`; settings are given up by the real rule, on dev scores that know nothing but the setting."""
    trial = trials[0]
    if not isinstance(trial.job, FinetuneJob):
        return [succeeded(one, place) for one in trials]
    standing = standing_of(trial.job.rung, place.runs_dir)
    if standing is not None and not standing.goes_on:
        return [succeeded(trial, place, status="pruned", facts=standing.facts)]
    return [succeeded(trial, place, dev_value=dev_value(trial.job))]


def dev_value(job: FinetuneJob) -> float:
    """One of eleven scores, so that some settings are equals; changes from rung to rung."""
    setting = [job.model, job.recipe.learning_rate, job.recipe.epochs, job.rung.share if job.rung else 1]
    return int(digest(setting, 8), 16) % 11 / 10


def climbing_plan(folder: Path) -> list[Trial]:
    """Seven models whose seven settings are halved twice, as the plan makes it of a spec."""
    rates = ("[1e-5, 2e-5]", "[7e-5, 1e-5, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]")
    halving = ("epochs: 2}", "epochs: 2, halving: {factor: 3, rungs: 2}}")
    resolved = load_spec(write_spec(folder, rates, halving))
    return list(build_plan(resolved, lambda asset: asset.sha256, "this machine").trials)


def note(place: Site, trials: Sequence[Trial], began: float) -> None:
    """Add a line to `log.jsonl`; lines this short are appended whole."""
    line = {
        "ids": [trial.id for trial in trials], "kind": trials[0].kind, "share": trials[0].resources.gpus,
        "began": began, "ended": time.time(), "pid": os.getpid(),
        "cards": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "cluster": os.environ.get("CLUSTER", ""),
    }  # fmt: skip
    with (place.runs_dir / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def notes(runs_dir: Path) -> list[dict]:
    """What `note` wrote."""
    return [json.loads(line) for line in (runs_dir / "log.jsonl").read_text().splitlines()]


def take_a_while(trials: Sequence[Trial], place: Site) -> list[Result]:
    """As `succeed`, after a quarter of a second."""
    began = time.time()
    time.sleep(0.25)
    results = [succeeded(trial, place) for trial in trials]
    note(place, trials, began)
    return results


def die_once(trials: Sequence[Trial], place: Site) -> list[Result]:
    """The first worker that gets a distil job dies without a word; of the first that gets a finetune job the card
    breaks."""
    died, lost = place.runs_dir / "died", place.runs_dir / "lost"
    if trials[0].kind == "distil" and not died.exists():
        died.touch()
        os._exit(9)
    if trials[0].kind == "finetune" and not lost.exists():
        lost.write_text(str(os.getpid()))
        raise DeviceLostError("the card broke")
    return succeed(trials, place)


def wait_for_go(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Says where it runs and as which process, then waits until the test says go."""
    note = place.runs_dir / f"{trials[0].id}.{os.getpid()}"
    note.write_text(str(os.getpid()))
    note.rename(place.runs_dir / f"{trials[0].id}.on.{os.environ.get('CLUSTER', 'here')}")
    while not (place.runs_dir / "go").exists():
        time.sleep(0.1)
    return succeed(trials, place)


def teach_on_go(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Preparing a teacher takes until the test says go, anything else a while."""
    return (wait_for_go if trials[0].kind == "prepare" else take_a_while)(trials, place)


def step_until_stopped(trials: Sequence[Trial], place: Site) -> list[Result]:
    """Steps of 50 ms that are remembered; a trial told to stop goes on from there another time."""
    trial = trials[0]
    mark = place.runs_dir / f"{trial.id}.steps"
    step = int(mark.read_text()) if mark.exists() else 0
    folder = TrialFolder.of(place.runs_dir, trial.id)
    while step < 60:
        if place.stop():
            raise TrialError("interrupted", f"stopped after step {step}")
        time.sleep(0.05)
        step += 1
        mark.write_text(str(step))
        now = time.time()
        folder.append_progress(
            Progress(step=step, steps=60, loss=1.0, learning_rate=0.1, tokens_per_second=1.0, at=now)
        )
    return [succeeded(trial, place)]


def _id(name: str) -> str:
    return digest([name])[:16]
