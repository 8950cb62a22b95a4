"""What a plan says of its inputs: text counted by language, tasks that are not here named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import BertWordPieceTokenizer

from harness.cli import main
from tests.spec.writing import write_spec

TEXT = ["A cat saw the moon.", "The king likes bread.", "One bird sings.", "We saw the river at night."]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec whose corpus, tokenizer and task lie beside it; two corpus sentences are evaluated on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    for folder in ("text", "task", "pieces"):
        (tmp_path / folder).mkdir()
    (tmp_path / "text" / "en.txt").write_text("\n".join(TEXT))
    row = json.dumps({"a": TEXT[0], "y": 0}) + "\n" + json.dumps({"a": TEXT[1], "y": 1})
    for split in ("dev", "test"):
        (tmp_path / "task" / f"{split}.jsonl").write_text(row)
    (tmp_path / "task" / "train.jsonl").write_text(json.dumps({"a": "A row to train on.", "y": 1}))
    words = sorted({word.strip(".").lower() for line in TEXT for word in line.split()})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *words]
    tokenizer = BertWordPieceTokenizer({piece: n for n, piece in enumerate(pieces)}, lowercase=True)
    tokenizer.save(str(tmp_path / "pieces" / "tokenizer.json"))
    path = write_spec(tmp_path, ("  shape:", "  tokenizer: {sources: [{path: pieces}]}\n  shape:"))
    path.write_text(path.read_text().replace(f", sha256: {'ab' * 32}", ""))
    return path


def plan(spec: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["plan", str(spec), *options])
    assert left.value.code in (0, None), capsys.readouterr().err
    return capsys.readouterr().out


def replace(spec: Path, old: str, new: str) -> None:
    assert old in spec.read_text()
    spec.write_text(spec.read_text().replace(old, new))


def test_characters_tokens_and_shares_by_language(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (survey,) = json.loads(plan(spec, capsys, "--json"))["corpora"]
    english = survey["languages"]["en"]
    assert english["characters"] == sum(map(len, TEXT))
    assert english["tokens"] == sum(
        len(line.split()) + 1 for line in TEXT
    )  # a piece a word, and the full stop
    assert (english["tokens_counted"], english["share"], english["thin"]) == (True, 1.0, True)
    shown = plan(spec, capsys)
    assert "en (thin)" in shown
    assert "Little text, below 100,000 characters: en." in shown


def test_a_budget_bounds_the_tokens(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(spec, "name: text\n", "name: text\n  tokens_per_language: 7\n")
    (survey,) = json.loads(plan(spec, capsys, "--json"))["corpora"]
    assert survey["languages"]["en"]["tokens"] == 7


def test_overlap_with_evaluated_rows_is_counted(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (survey,) = json.loads(plan(spec, capsys, "--json"))["corpora"]
    assert survey["languages"]["en"]["overlap"] == {"pairs": 2}
    assert "still holds sentences that tasks are scored on (2 of pairs)" in plan(spec, capsys)


def test_a_task_that_is_not_here_is_said_to_be_unchecked(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (spec.parent / "task").iterdir():
        file.unlink()
    (survey,) = json.loads(plan(spec, capsys, "--json"))["corpora"]
    assert survey["unchecked_tasks"] == ["pairs"]
    assert "Not compared with pairs" in plan(spec, capsys)


def test_an_optional_task_that_is_not_here_is_left_out_and_named(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = spec.read_text()
    start, end = text.index("  - task:"), text.index("finetune:")
    second = text[start:end].replace("name: pairs", "name: more").replace("path: task", "path: nowhere")
    spec.write_text(text[:end] + second + "    optional: true\n" + text[end:])
    planned = json.loads(plan(spec, capsys, "--json"))
    assert [(one["suite"], one["task"]) for one in planned["left_out"]] == [("S", "more")]
    assert not [trial for trial in planned["trials"] if trial["labels"].get("task") == "more"]
    assert "Not evaluated: S (task more)" in plan(spec, capsys)


def test_without_any_task_there_is_nothing_to_plan(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(spec, "path: task", "path: nowhere")
    replace(spec, "finetune:", "    optional: true\nfinetune:")
    with pytest.raises(SystemExit) as left:
        main(["plan", str(spec)])
    assert left.value.code == 2
    assert "Not evaluated: S (task pairs)" in capsys.readouterr().err


def test_rows_that_are_not_what_the_task_says_stop_a_run_before_its_first_trial(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [json.dumps({"a": line, "y": label}) for line, label in zip(TEXT, (0, 1, "yes", 0), strict=True)]
    (spec.parent / "task" / "train.jsonl").write_text("\n".join(rows))
    (spec.parent / "teacher").mkdir()
    config = {"model_type": "bert", "num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4}
    config |= {"intermediate_size": 256, "vocab_size": 1000}
    (spec.parent / "teacher" / "config.json").write_text(json.dumps(config))
    save_file({"weight": np.zeros(1)}, spec.parent / "teacher" / "model.safetensors")
    replace(spec, "mlm_head: true", "mlm_head: false")
    replace(spec, "    - {name: od, family: OD, objective: [{term: logits}]}\n", "")
    with pytest.raises(SystemExit) as left:
        main(["run", str(spec), "--backend", "local"])
    assert left.value.code == 2
    assert (
        "task pairs, split train (en): column 'y' mixes text ('yes') and numbers (0)"
        in capsys.readouterr().err
    )
    assert not (spec.parent / "runs").exists()


def test_a_run_measures_the_processor_where_nothing_is_known_of_it(spec: Path, tmp_path: Path) -> None:
    from harness.cli.planned.from_spec import load_plan, sources_of, speed_here

    loaded = load_plan(spec, (), (), sources_of(None))
    guessed = speed_here(loaded.plan, tmp_path / "runs", loaded.sources)
    measured = speed_here(loaded.plan, tmp_path / "runs", loaded.sources, measure=True)
    assert [profile.peak("cpu", "auto") for profile in guessed.profiles.values()] == [None]
    (peak,) = [profile.peak("cpu", "auto") for profile in measured.profiles.values()]
    assert peak is not None
    assert 1e8 < peak < 1e13
    assert "this machine's matmul peak" in measured.basis
    assert "assumed" in guessed.basis
    assert not list((tmp_path / "cache").rglob("machines/*"))  # trials measure for themselves
