"""`harness export --model STUDENT --onnx`: files that a server loads, each checked on the task it is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import exporting, main
from harness.records.folder import TrialFolder
from harness.records.trial import DistilJob, FinetuneJob, ModelSource, Trial, trial_id
from harness.results.store import Store
from harness.service import export as module
from harness.trials.run import run_trials
from tests.trials.world import distil_trial, finetune_trial, make_world, verb_task

Export = Callable[..., tuple[int, str, str]]
WITHOUT_TORCH = (
    "import sys\nfor name in ('torch', 'transformers', 'harness'):\n    sys.modules[name] = None\n"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trial, Trial]:
    """A runs folder with a student and its evaluation; the trials of both."""
    world = make_world(tmp_path_factory.mktemp("world"))
    task = verb_task(tmp_path_factory.mktemp("task") / "verbs")
    student = distil_trial(world, "hs-last")
    shipped = finetune_trial(world, task, epochs=3, learning_rate=1e-3)
    assert isinstance(shipped.job, FinetuneJob)
    job = shipped.job.model_copy(update={"model": ModelSource(trial=student.id)})
    scored = shipped.model_copy(
        update={
            "id": trial_id("finetune", job, {}, (student.id,)),
            "job": job,
            "parents": (student.id,),
        }
    )
    place = world.site()
    for trial in (student, scored):
        [result] = run_trials([trial], place)
        assert result.error is None
    Store(place.runs_dir / "results.duckdb").ingest()
    return place.runs_dir, student, scored


@pytest.fixture
def export(runs: tuple[Path, Trial, Trial], capsys: pytest.CaptureFixture[str]) -> Export:
    """Runs `harness export` on the runs folder: exit code, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["export", *map(str, arguments), "--runs-dir", str(runs[0])])
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


def name_of(student: Trial) -> str:
    assert isinstance(student.job, DistilJob)
    return f"{student.job.method.name}/{student.job.student.name}"


def test_a_classifier_and_its_int8_form_carry_their_own_scores_and_need_no_torch(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    runs_dir, student, scored = runs
    before = sorted(path.name for path in runs_dir.rglob("*"))
    out = tmp_path / "served"
    code, said, err = export(
        "--model", name_of(student), "--onnx", "--task", "verbs", "--int8", "--force", "--out", out
    )
    assert (code, said.split()[:1]) == (0, [student.id]), err
    assert sorted(path.name for path in runs_dir.rglob("*")) == before
    assert (out / "model_int8.onnx").stat().st_size < (out / "model.onnx").stat().st_size
    card = (out / "README.md").read_text(encoding="utf-8")
    result = TrialFolder.of(runs_dir, scored.id).read_result()
    assert result is not None
    reported = [one.value for one in result.scores if one.split == "test" and one.value is not None]
    score = f"{100 * sum(reported) / len(reported):.1f}"
    assert f"verbs test {score} (PyTorch {score})" in card
    assert re.search(r"model_int8\.onnx`.*int8 weights, (un)?signed.*verbs test \d+\.\d", card)
    (script,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    answers = {}
    for name in ("model.onnx", "model_int8.onnx"):
        asked = script.replace("model_int8.onnx", name).replace(
            "A sentence.", "the cat sees the moon today ."
        )
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH + asked],
            cwd=out,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers[name] = done.stdout.strip()
    assert answers["model.onnx"] in ("other", "senses")
    assert json.loads((out / "config.json").read_text())["id2label"] == {"0": "other", "1": "senses"}


def test_an_encoder_alone_gives_states(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path
) -> None:
    out = tmp_path / "encoder"
    assert export("--model", f"{name_of(runs[1])}/{runs[1].job.seed}", "--onnx", "--out", out)[0] == 0  # type: ignore[union-attr]
    (script,) = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text("utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", f"{WITHOUT_TORCH}{script}print(states.shape)"],
        cwd=out,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("(1, ")
    assert not (out / "model_int8.onnx").exists()


def test_int8_that_costs_too_much_is_refused_and_nothing_is_left(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LOST", -2.0)  # no file gains two whole scores
    code, _, err = export(
        "--model", runs[1].id, "--onnx", "--task", "verbs", "--int8", "--out", tmp_path / "out"
    )
    assert code == 2
    assert re.search(
        r"nothing is exported: int8 costs -?\d+\.\d points on verbs .*--force", err.splitlines()[-1]
    )
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_interrupted_leaves_nothing(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_graph", interrupted)
    code, _, _ = export("--model", runs[1].id, "--onnx", "--out", tmp_path / "out")
    assert code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "{id}", "--task", "verbs"], "--task belongs to --onnx"),
        (["--model", "{id}", "--int8"], "--int8 belongs to --onnx"),
        (["--onnx"], "--onnx needs a student"),
        (["--model", "{id}", "--onnx", "--int8"], "--int8 needs --task"),
        (
            ["--model", "{id}", "--onnx", "--task", "nouns"],
            "was not fine-tuned on it; tasks recorded for it: verbs",
        ),
        (["--model", "none/such", "--onnx"], "no student 'none/such'; there are: "),
        (["--model", "{name}/99", "--onnx"], "no student '{name}/99'; there are: {name}"),
        (["--model", "{name}/first", "--onnx"], "name a student as METHOD/STUDENT or METHOD/STUDENT/SEED"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    names = {"id": runs[1].id, "name": name_of(runs[1])}
    given = [argument.format(**names) for argument in arguments]
    code, _, err = export(*given, "--out", tmp_path / "out")
    assert code == 2
    [line] = err.splitlines()
    assert expected.format(**names) in line
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_one_line(
    export: Export, runs: tuple[Path, Trial, Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "SERVE", ("a_package_that_is_not_there",))
    code, _, err = export("--model", runs[1].id, "--onnx", "--out", tmp_path / "out")
    assert code == 2
    [line] = err.splitlines()
    assert "pip install 'distil-harness[serve]'" in line
