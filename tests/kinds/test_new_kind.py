"""A kind of task from an installed package, one module and one registration: from YAML to scores, report and verify."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.kinds import KINDS
from harness.kinds.metrics import METRICS
from harness.records.folder import TrialFolder, trial_folders
from tests.trials.world import make_world, sentences

PACKAGE = Path(__file__).parent / "multilabel_package"
ABOUT = {"senses": (" sees ", " hears "), "music": (" song ",), "night": (" at night ",)}
TASK = """\
schema: 1
name: about
suite: Tiny
type: multilabel
assets: {data: {sources: [{path: task}]}}
splits: {train: {files: train.jsonl}, dev: {files: dev.jsonl}, test: {files: test.jsonl}}
columns: {text: text, label: about}
format: jsonl
labels: {senses: senses, music: music, night: night}
metrics: [micro_f1]
"""
SPEC = """\
schema: 1
name: several
teacher: {name: tiny, asset: {sources: [{path: teacher}]}}
corpus:
  name: text
  texts: [{language: en, asset: {sources: [{path: corpus}]}}]
  held_out: 0.05
  floor_characters: 0
grid:
  method: [{name: od, family: OD, objective: [{term: logits}]}]
  student: [{name: s2, layers: 2, width: 32, heads: 4, ffn: 64}]
distil: {steps: 5, warmup_steps: 1, batch_size: 8, length: 16, precision: fp32}
tasks: [./about.yaml]
finetune: {learning_rate: 3e-3, epochs: 6, batch_size: 16, length: 24, precision: fp32}
measure: {enabled: false}
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package's kind in this process, as its entry point registers it."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    from harness_multilabel import MULTILABEL

    KINDS.register("multilabel", MULTILABEL)
    yield
    for registry, name in ((KINDS, "multilabel"), (METRICS, "micro_f1")):
        del registry._entries[name]  # type: ignore[attr-defined]
    del sys.modules["harness_multilabel"]


def write_files(folder: Path) -> None:
    """Teacher, corpus, task and spec; no sentence of the task is in the corpus."""
    make_world(folder)
    read = set(sentences(1_000))
    texts = [text for text in sentences(2_048) if text not in read][:288]
    (folder / "task").mkdir()
    for split, part in (("train", texts[:192]), ("dev", texts[192:240]), ("test", texts[240:])):
        rows = [{"text": text, "about": " ".join(labels_of(text))} for text in part]
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / "task" / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "about.yaml").write_text(TASK)
    (folder / "spec.yaml").write_text(SPEC)


def labels_of(text: str) -> list[str]:
    return [label for label, words in ABOUT.items() if any(word in text for word in words)]


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: (exit code, what it printed)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out + printed.err

    return run


def assert_verify_reads_lists(folder: Path, harness: Command, trial_id: str) -> None:
    """A prediction changed by one class is noticed; the file is put back."""
    path = TrialFolder.of(folder / "runs", trial_id).predictions
    kept = path.read_bytes()
    frame = pd.read_parquet(path)
    frame.at[0, "prediction"] = [one for one in range(3) if one not in frame.at[0, "prediction"]]
    frame.to_parquet(path)
    code, printed = harness("verify")
    assert code != 0
    assert f"{trial_id}: micro_f1 of dev, en is given as" in printed
    path.write_bytes(kept)


@pytest.mark.usefixtures("registered")
def test_a_new_kind_goes_from_yaml_to_scores_report_and_verify(tmp_path: Path, harness: Command) -> None:
    write_files(tmp_path)
    code, printed = harness("run", "spec.yaml", "--backend", "local")
    assert code == 0, printed
    results = [folder.read_result() for folder in trial_folders(tmp_path / "runs")]
    scored = [result for result in results if result is not None and result.kind == "finetune"]
    assert len(scored) == 2  # teacher and student
    for result in scored:
        (test,) = [one for one in result.scores if one.split == "test"]
        assert (test.metric, test.n, test.no_information) == ("micro_f1", 48, None)
        kept = pd.read_parquet(TrialFolder.of(tmp_path / "runs", result.trial_id).predictions)
        labels = kept[kept["split"] == "test"].sort_values("row")["label"]
        rows = (tmp_path / "task" / "test.jsonl").read_text().splitlines()
        named = [labels_of(json.loads(row)["text"]) for row in rows]
        assert [[list(ABOUT)[one] for one in row] for row in labels] == named
    assert max(one.value or 0.0 for result in scored for one in result.scores) > 0.8
    code, printed = harness("report")
    assert code == 0, printed
    assert "od" in printed
    code, printed = harness("verify")
    assert code == 0, printed
    assert_verify_reads_lists(tmp_path, harness, scored[0].trial_id)
    student = next(result for result in results if result is not None and result.kind == "distil")
    code, printed = harness("export", "--model", student.trial_id, "--out", "student")
    assert "micro_f1" in (tmp_path / "student" / "README.md").read_text(), printed


def test_an_installed_package_adds_its_kind_and_without_it_the_name_is_unknown(tmp_path: Path) -> None:
    site = tmp_path / "site"
    metadata = site / "distil_harness_multilabel-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "harness_multilabel.py").write_bytes((PACKAGE / "harness_multilabel.py").read_bytes())
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: distil-harness-multilabel\nVersion: 0.1.0\n"
    )
    (metadata / "entry_points.txt").write_text(
        "[harness.kinds]\nmultilabel = harness_multilabel:MULTILABEL\n"
    )
    (tmp_path / "about.yaml").write_text(TASK)
    for path, code, said in (
        (str(site), 0, "ok  about.yaml  (task about)\n"),
        ("", 2, "about.yaml:4:7: type: unknown kind of task 'multilabel'; "),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", "validate", "about.yaml"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert (done.stdout + done.stderr).startswith(said)
