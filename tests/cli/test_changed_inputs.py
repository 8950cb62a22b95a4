"""A file that is replaced while a run goes on is noticed by the trial that reads it: no number is ever recorded under the
id of other bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.attempts.site import Site
from harness.cli import main
from harness.records.folder import trial_folders
from harness.records.result import Result
from harness.records.trial import Trial
from harness.schedule import local
from harness.trials.run import run_trials
from tests.trials.world import make_world, verb_task

Act = Callable[[Path], None]


def other_content(path: Path) -> None:
    """Another byte at the end, in the same file: same name, size and dates."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_file(path: Path) -> None:
    """Another file under the name, as tools that write atomically leave it."""
    (path.parent / ".new").write_bytes(path.read_bytes() + b"\n")
    (path.parent / ".new").replace(path)


def half(path: Path) -> None:
    """Cut short."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    """Removed."""
    path.unlink()


def neighbour(path: Path) -> None:
    """A new file beside it, of which the plan knows nothing."""
    (path.parent / f"new{path.suffix}").write_bytes(path.read_bytes())


def written_again(path: Path) -> None:
    """The same bytes, written anew."""
    path.write_bytes(path.read_bytes())


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, a corpus and a task, of each of which a plan reads its own part of the folder."""
    folder = tmp_path_factory.mktemp("world")
    world = make_world(folder)
    task = verb_task(folder / "data").model_dump(mode="json", exclude_unset=True)
    corpus = world.corpus.model_dump(mode="json", exclude_unset=True)
    teacher = world.teacher.model_dump(mode="json", exclude_unset=True)
    corpus["texts"][0]["asset"]["include"] = ["text.txt"]
    task["assets"]["data"]["include"] = ["train.jsonl", "dev.jsonl", "test.jsonl"]
    small = {"warmup_steps": 1, "learning_rate": 3e-3, "batch_size": 8, "length": 16}
    content: dict[str, Any] = {
        "schema": 1,
        "name": "tiny",
        "teacher": teacher,
        "corpus": corpus,
        "exclude_overlap": True,
        "grid": {
            "method": ["hs-uniform"],
            "student": [{"name": "2l-16", "layers": 2, "width": 16, "heads": 2, "ffn": 32}],
        },
        "distil": {"steps": 2, **small},
        "tasks": [{"task": task}],
        "finetune": {
            "learning_rate": 3e-3, "epochs": 1, "batch_size": 64, "length": 24, "select_on": "dev", "train_rows": 64,
        },
        "analyse": {"enabled": True, "relation_heads": 4},
        "measure": {"enabled": False},
    }  # fmt: skip
    path = folder / "tiny.yaml"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def restored(spec: Path) -> Iterator[None]:
    """Every input as it was, after the test."""
    inputs = [path for path in spec.parent.rglob("*") if path.is_file()]
    content = {path: path.read_bytes() for path in inputs}
    yield
    for path in spec.parent.rglob("*"):
        if path.is_file() and path not in content:
            path.unlink()
    for path, was in content.items():
        path.write_bytes(was)


Run = Callable[..., dict[str, tuple[str, str]]]


@pytest.fixture
def run(
    spec: Path,
    restored: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)

    def run_and_act(kind: str, act: Act, name: str) -> dict[str, tuple[str, str]]:
        """Kind of trial -> how it ended and why, of a run in which `act` befalls a file before trials of `kind`."""

        def run_job(trials: Sequence[Trial], site: Site) -> list[Result]:
            if trials[0].kind == kind:
                act(spec.parent / name)
            return run_trials(trials, site)

        monkeypatch.setattr(local, "default_run_job", lambda: run_job)
        with pytest.raises(SystemExit) as left:
            main(["run", str(spec), "--backend", "local"])
        assert left.value.code in (0, 1), capsys.readouterr().err
        results = (folder.read_result() for folder in trial_folders(tmp_path / "runs"))
        return {
            result.kind: (result.error.reason, result.error.message) if result.error else ("ok", "")
            for result in results
            if result is not None
        }

    return run_and_act


READ = {
    ("distil", "teacher/model.safetensors"),
    ("distil", "teacher/tokenizer.json"),
    ("distil", "corpus/text.txt"),
    ("finetune", "data/train.jsonl"),
    ("finetune", "data/test.jsonl"),
    ("analyse", "teacher/model.safetensors"),
}


@pytest.mark.parametrize(("kind", "name"), sorted(READ))
def test_a_trial_refuses_a_file_that_is_not_the_planned_one(
    kind: str, name: str, run: Run, spec: Path
) -> None:
    reason, message = run(kind, other_content, name)[kind]
    assert reason == "changed_input"
    folder, _, file = name.partition("/")
    assert message == (
        f"{spec.parent / folder}: {file} holds other content: changed after the plan was made; "
        "run the command again, which plans with the files as they are"
    )


@pytest.mark.parametrize(
    ("act", "expected", "said"),
    [
        (another_file, "changed_input", "train.jsonl holds other content"),
        (half, "changed_input", "train.jsonl holds other content"),
        (gone, "lost_input", "has no train.jsonl"),
        (neighbour, "ok", ""),
        (written_again, "ok", ""),
    ],
)
def test_whatever_befalls_a_file(act: Act, expected: str, said: str, run: Run) -> None:
    reason, message = run("finetune", act, "data/train.jsonl")["finetune"]
    assert reason == expected
    assert said in message


@pytest.mark.parametrize("act", [other_content, half, gone])
def test_text_that_was_read_when_it_was_whole_is_used_on(act: Act, run: Run) -> None:
    """Token blocks of the planned text outlive it; the trial that analyses reads the same ones."""
    ended = run("analyse", act, "corpus/text.txt")
    assert {kind: reason for kind, (reason, _) in ended.items()} == {
        "distil": "ok",
        "finetune": "ok",
        "analyse": "ok",
    }
