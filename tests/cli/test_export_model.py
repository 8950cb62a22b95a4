"""`harness export --model`: a student that was really made here, written for use elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoTokenizer

from harness.cli import main
from harness.records.folder import TrialFolder
from harness.records.trial import FinetuneJob, ModelSource, Trial, trial_id
from harness.results.store import Store
from harness.trials.run import run_trials
from tests.trials.world import distil_trial, finetune_trial, make_world, verb_task

Export = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trial, Trial]:
    """A runs folder with a student, an intermediate one, and their evaluations; the student's trial and its evaluation's."""
    world = make_world(tmp_path_factory.mktemp("world"))
    task = verb_task(tmp_path_factory.mktemp("task") / "verbs")
    place = world.site()
    student = distil_trial(world, "hs-last", milestones=(10,))
    scored = _of(finetune_trial(world, task, epochs=2), ModelSource(trial=student.id))
    early = _of(finetune_trial(world, task, epochs=2), ModelSource(trial=student.id, milestone=10))
    shipped = finetune_trial(world, task, epochs=2)
    for trial in (student, scored, early, shipped):
        [result] = run_trials([trial], place)
        assert result.error is None
    Store(place.runs_dir / "results.duckdb").ingest()
    return place.runs_dir, student, scored


def _of(trial: Trial, model: ModelSource) -> Trial:
    """The same evaluation of another model."""
    assert isinstance(trial.job, FinetuneJob)
    assert model.trial is not None
    job = trial.job.model_copy(update={"model": model})
    parents = (model.trial,)
    new = trial_id("finetune", job, {}, parents)
    return trial.model_copy(update={"id": new, "job": job, "parents": parents})


@pytest.fixture
def export(runs: tuple[Path, Trial, Trial], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Export:
    """Runs `harness export` on the runs folder: exit code, output, errors."""

    def run(*arguments: object, runs_dir: Path = runs[0]) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["export", *map(str, arguments), "--runs-dir", str(runs_dir)])
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


def test_a_student_is_written_ready_for_use(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    runs_dir, student, scored = runs
    code, out, err = export("--model", student.id[:6], "--out", tmp_path / "student")
    assert (code, out.split()[0], err) == (0, student.id, "")
    model = AutoModel.from_pretrained(tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    made = AutoModel.from_pretrained(TrialFolder.of(runs_dir, student.id).model)
    inputs = tokenizer("the cat sees the moon today .", return_tensors="pt")
    assert torch.equal(model(**inputs).last_hidden_state, made(**inputs).last_hidden_state)
    card = ModelCard.load(tmp_path / "student" / "README.md")
    result = TrialFolder.of(runs_dir, scored.id).read_result()
    assert result is not None
    reported = {score.metric: score.value for score in result.scores if score.split == "test"}
    assert card.data.eval_results is not None
    stated = {one.metric_type: one.metric_value for one in card.data.eval_results}
    assert stated == pytest.approx(reported, abs=1e-6)
    for metric, value in reported.items():
        assert f"| test | {metric} | {100 * value:.1f} |" in card.text
    for heading in ("## Use", "## Scores", "## Recipe", "## Provenance", "### Record", "## Citation"):
        assert card.text.count(f"{heading}\n") == 1
    weights = TrialFolder.of(runs_dir, student.id).read_result()
    assert weights is not None
    assert str(weights.weights_sha256) in card.text
    assert str(runs_dir) not in str(card)


def test_an_intermediate_student_is_named_by_its_step(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    _, student, _ = runs
    assert export("--model", f"{student.id}@10", "--out", tmp_path / "early")[0] == 0
    early, last = (tmp_path / "early" / "model.safetensors"), TrialFolder.of(runs[0], student.id).model
    assert early.read_bytes() != (last / "model.safetensors").read_bytes()
    AutoModel.from_pretrained(tmp_path / "early")
    assert "10 of 20" in (tmp_path / "early" / "README.md").read_text()


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("ffff", "no trial's id starts with 'ffff'"),
        ("{scored}", "is a finetune trial, which exports no model; it read the model of {student}"),
        ("{student}@11", "has no intermediate student at step 11; it has intermediate students at 10"),
        ("{student}@last", "the part after @ must be a step"),
    ],
)
def test_what_is_no_model_is_one_line(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path, named: str, expected: str
) -> None:
    names = {"student": runs[1].id, "scored": runs[2].id}
    code, _, err = export("--model", named.format(**names), "--out", tmp_path / "out")
    assert code == 2
    [line] = err.splitlines()
    assert expected.format(**names) in line
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_gone_or_changed_are_one_line(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    runs_dir, student, _ = runs
    other = tmp_path / "runs"
    shutil.copytree(runs_dir, other)
    weights = TrialFolder.of(other, student.id).model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    code, _, err = export("--model", student.id, "--out", tmp_path / "out", runs_dir=other)
    assert code == 2
    assert "is not what the trial recorded" in err
    weights.unlink()
    code, _, err = export("--model", student.id, "--out", tmp_path / "out", runs_dir=other)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "is not here: removed by `harness gc --weights`" in err
    assert os.listdir(tmp_path) == ["runs"]


def test_an_existing_folder_is_left_alone(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    code, _, err = export("--model", runs[1].id, "--out", tmp_path)
    assert code == 2
    assert "exists already" in err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "abc"], "no destination"),
        (["a.md", "--out", "b.md"], "both FILE (a.md) and --out (b.md) are given"),
        (["--model", "abc", "--out", "d", "--format", "csv"], "leave them out with --model"),
    ],
)
def test_arguments_that_do_not_go_together_are_one_line(
    export: Export, arguments: list[str], expected: str
) -> None:
    code, _, err = export(*arguments)
    assert code == 2
    assert expected in err
    assert len(err.splitlines()) == 1


def test_a_format_can_be_named_where_the_ending_says_none(export: Export, tmp_path: Path) -> None:
    assert export("--out", tmp_path / "table", "--format", "json")[0] == 0
    assert json.loads((tmp_path / "table").read_text())["tasks"] == {"verbs": ["en"]}
