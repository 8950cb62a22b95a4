"""Faults of inputs that planning can see are reported by it: one line at the place that names them, exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.cli import main
from tests.spec.writing import line_of
from tests.trials.world import make_world, sentences

SPEC = """\
schema: 1
name: own
teacher: {name: tiny-teacher, asset: {sources: [{path: teacher}]}}
corpus:
  name: tiny-corpus
  floor_characters: 0
  texts: [{language: en, asset: {sources: [{path: corpus}]}}]
exclude_overlap: true
grid:
  method: [hs-uniform]
  student: [{name: 2l-16, layers: 2, width: 16, heads: 2, ffn: 32}]
distil: {steps: 2, warmup_steps: 1, batch_size: 8, length: 16}
tasks:
  - task:
      name: verbs
      suite: own
      assets: {data: {sources: [{path: data}]}}
      splits: {train: {files: train.FMT}, dev: {files: dev.FMT}, test: {files: test.FMT}}
      columns: {text: text, label: label}
      format: FMT
      labels: {other: 0, senses: 1}
      metrics: [accuracy]
finetune: {learning_rate: [3e-3], epochs: [1], batch_size: 16, length: 24, select_on: dev}
measure: {batch_sizes: [1], length: 16, repeats: 5, warmup: 1}
resources: {prepare: {cpus: 1}}
"""
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def write_rows(folder: Path, format: str) -> None:
    """192 rows to train on, 48 each for dev and test."""
    folder.mkdir(exist_ok=True)
    rows = [{"text": text, "label": int(" sees " in text)} for text in sentences(288)]
    for name, part in (("train", rows[:192]), ("dev", rows[192:240]), ("test", rows[240:])):
        if format == "parquet":
            import pandas as pd

            pd.DataFrame(part).to_parquet(folder / f"{name}.parquet")
        elif format == "jsonl":
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
        else:
            mark = "," if format == "csv" else "\t"
            lines = [f"text{mark}label", *(f"{row['text']}{mark}{row['label']}" for row in part)]
            (folder / f"{name}.{format}").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec with everything that it names."""
    folder = tmp_path_factory.mktemp("whole")
    make_world(folder)
    for format in ("jsonl", "parquet", "csv", "tsv"):
        write_rows(folder / "data", format)
    return folder


@pytest.fixture
def world(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage."""
    folder = tmp_path / "world"
    shutil.copytree(whole, folder)
    (folder / "spec.yaml").write_text(SPEC.replace("FMT", "jsonl"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    return folder


@pytest.fixture
def run_harness(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Exit code and lines on standard error of a command."""

    def run(*arguments: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        return int(left.value.code or 0), capsys.readouterr().err.splitlines()

    return run


RunHarness = Callable[..., tuple[int, list[str]]]
TEACHER, CORPUS, TASK = "teacher: {", "name: tiny-corpus", "  - task:"
INPUTS = {
    "teacher/model.safetensors": TEACHER,
    "teacher/tokenizer.json": TEACHER,
    "teacher/config.json": TEACHER,
    "corpus/text.txt": CORPUS,
    "data/train.jsonl": TASK,
    "data/test.jsonl": TASK,
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("content", [POINTER, "", None])
def test_a_file_that_is_not_there_in_full_is_told_at_the_line_that_names_it(
    name: str, content: str | None, world: Path, run_harness: RunHarness
) -> None:
    path = world / name
    if content is None and name == "corpus/text.txt":
        path.write_bytes(b"")  # text that ends early is text
    elif content is None:
        path.write_bytes(path.read_bytes()[:-9])
    else:
        path.write_text(content)
    for command in ("validate", "plan", "run"):
        code, lines = run_harness(command, "spec.yaml")
        assert code == 2, command
        (line,) = lines
        assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', INPUTS[name])}:"), line
        assert path.name in line or "there is no text" in line
    assert not (world / "runs").exists()


@pytest.mark.parametrize("format", ["parquet", "csv", "tsv"])
def test_rows_in_any_format_that_are_cut_short_are_reported(
    format: str, world: Path, run_harness: RunHarness
) -> None:
    (world / "spec.yaml").write_text(SPEC.replace("FMT", format))
    assert run_harness("validate", "spec.yaml")[0] == 0
    path = world / "data" / f"dev.{format}"
    path.write_bytes(path.read_bytes()[:-4] if format == "parquet" else path.read_bytes()[:-3])
    for command in ("validate", "plan"):
        code, (line,) = run_harness(command, "spec.yaml")
        assert (code, path.name in line) == (2, True)


def test_pickled_weights_are_reported_with_the_way_to_convert_them(
    world: Path, run_harness: RunHarness
) -> None:
    weights = world / "teacher" / "model.safetensors"
    torch.save(load_file(weights), world / "teacher" / "pytorch_model.bin")
    weights.unlink()
    for command in ("validate", "plan", "run"):
        code, (line,) = run_harness(command, "spec.yaml")
        assert code == 2
        assert "pickled weights (pytorch_model.bin) are not read" in line
        assert "prepare" not in line


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ("length: 24", "length: 65", "finetune: {"),
        ("batch_size: 8, length: 16", "batch_size: 8, length: 65", "distil: {"),
        ("measure: {batch_sizes: [1], length: 16", "measure: {batch_sizes: [1], length: 65", "measure: {"),
    ],
)
def test_a_length_beyond_the_positions_is_told_at_its_line(
    old: str, new: str, at: str, world: Path, run_harness: RunHarness
) -> None:
    text = SPEC.replace("FMT", "jsonl")
    (world / "spec.yaml").write_text(text.replace(old, new))
    for command in ("validate", "plan", "run"):
        code, (line,) = run_harness(command, "spec.yaml")
        assert code == 2
        assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', at)}:")
        assert "65 tokens, but 'tiny-teacher' has positions for 64" in line


def test_more_cores_than_may_be_used_are_refused_at_their_line(world: Path, run_harness: RunHarness) -> None:
    text = SPEC.replace("FMT", "jsonl").replace("{prepare: {cpus: 1}}", "{distil: {cpus: 4000}}")
    (world / "spec.yaml").write_text(text)
    assert run_harness("plan", "spec.yaml")[0] == 0  # it may be for a cluster
    code, (line,) = run_harness("run", "spec.yaml", "--backend", "local")
    assert code == 2
    assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', 'resources:')}:")
    assert "asks for 4000 CPU cores" in line


def test_rows_that_are_trained_on_and_scored_are_counted_and_the_same_split_is_refused(
    world: Path, run_harness: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    train = (world / "data" / "train.jsonl").read_text().splitlines(keepends=True)
    with (world / "data" / "dev.jsonl").open("a") as file:
        file.writelines(train[:5])
    with pytest.raises(SystemExit):
        main(["plan", "spec.yaml"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Task verbs trains on rows that it is scored on: 5 of 53 dev rows (en)" in printed
    (world / "data" / "test.jsonl").write_text("".join(reversed(train)))
    code, (line,) = run_harness("plan", "spec.yaml")
    assert code == 2
    assert "split test (en) has the same rows as split train (en)" in line


def test_one_line_of_a_spec_takes_its_tasks_out_of_the_corpus(
    world: Path, run_harness: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(text: str) -> dict[str, object]:
        (world / "spec.yaml").write_text(text)
        with pytest.raises(SystemExit):
            main(["plan", "spec.yaml", "--json"])
        return dict(json.loads(capsys.readouterr().out))

    cut = SPEC.replace("FMT", "jsonl")
    whole = cut.replace("exclude_overlap: true\n", "")
    one, other = planned(cut), planned(whole)

    def distilled(plan: dict[str, object]) -> list[str]:
        return [trial["id"] for trial in plan["trials"] if trial["kind"] == "distil"]  # type: ignore[attr-defined]

    assert distilled(one) != distilled(other)
    (counted,) = (plan["corpora"][0]["languages"]["en"] for plan in (one,))  # type: ignore[index]
    assert counted["overlap"] == {"verbs": 0}
    assert counted["excluded"]["verbs"] > 0
    code, (line,) = run_harness("run", "spec.yaml", "--backend", "local")
    assert code == 2
    assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', CORPUS)}:")
    assert "holds sentences its tasks are scored on" in line
    assert "add `exclude_overlap: true` to the spec" in line


def tokenizer_fields(world: Path, **fields: object) -> None:
    """tokenizer_config.json with other fields, and nothing beside it that names roles."""
    path = world / "teacher" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    (world / "teacher" / "special_tokens_map.json").unlink(missing_ok=True)


@pytest.mark.parametrize("role", ["cls", "sep", "mask"])
@pytest.mark.parametrize("piece", [None, "[NOWHERE]", {"content": "[NOWHERE]"}])
def test_a_role_without_a_piece_is_told_where_text_is_to_be_masked(
    role: str, piece: object, world: Path, run_harness: RunHarness
) -> None:
    tokenizer_fields(world, **{f"{role}_token": piece})
    for command in ("validate", "plan", "run"):
        code, (line,) = run_harness(command, "spec.yaml")
        assert code == 2
        assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', 'distil:')}:"), line
        assert f"the tokenizer of 'tiny-teacher' has no {'piece' if piece else role}" in line
    prepared = (
        SPEC.replace("FMT", "jsonl") + "prepare: {steps: 2, warmup_steps: 1, batch_size: 8, length: 16}\n"
    )
    (world / "spec.yaml").write_text(prepared)
    code, lines = run_harness("plan", "spec.yaml")
    assert [line.split(":")[1] for line in lines] == [
        str(line_of(world / "spec.yaml", part)) for part in ("distil:", "prepare: {steps")
    ]
    untaught = SPEC.replace("FMT", "jsonl").replace("hs-uniform", "scratch")
    (world / "spec.yaml").write_text(untaught)
    assert run_harness("plan", "spec.yaml")[0] == 0


def test_a_class_that_gives_roles_to_named_pieces_only_lacks_the_others(
    world: Path, run_harness: RunHarness
) -> None:
    path = world / "teacher" / "tokenizer_config.json"
    fields = json.loads(path.read_text())
    fields.pop("mask_token", None)
    path.write_text(json.dumps(fields | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    (world / "teacher" / "special_tokens_map.json").unlink(missing_ok=True)
    code, (line,) = run_harness("plan", "spec.yaml")
    assert (code, "has no mask token" in line) == (2, True)


@pytest.mark.parametrize("value", [None, 0, -1, "64", 6.5, True])
def test_positions_that_are_no_number_are_told(value: object, world: Path, run_harness: RunHarness) -> None:
    path = world / "teacher" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_position_embeddings": value}))
    code, (line,) = run_harness("plan", "spec.yaml")
    assert code == 2
    assert line.startswith(f"spec.yaml:{line_of(world / 'spec.yaml', TEACHER)}:")
    assert "needs 'max_position_embeddings', a whole number above 0" in line


HUB = "asset: {sources: [{hub: someone/text, repo_type: dataset}]}"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("empty", "is an empty folder"),
        ("link", "is a link to nowhere"),
        ("file", "is not a folder"),
        ("", "has no"),
    ],
)
def test_what_stands_in_the_place_of_a_hub_repository_is_told(
    what: str, said: str, world: Path, run_harness: RunHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SPEC.replace("FMT", "jsonl").replace("asset: {sources: [{path: corpus}]}", HUB)
    (world / "spec.yaml").write_text(text)
    place = world / "hub" / "text"
    place.parent.mkdir()
    match what:
        case "empty":
            place.mkdir()
        case "link":
            place.symlink_to(world / "nothing")
        case "file":
            place.write_text("text")
    with pytest.raises(SystemExit):
        main(["plan", "spec.yaml", "--data-dir", "hub"])
    printed = " ".join(capsys.readouterr().out.split())
    assert f"(data folder {place if what else place.parent} {said}" in printed
    code, lines = run_harness("run", "spec.yaml", "--data-dir", "hub")
    assert (code, said in lines[0]) == (2, True)


@pytest.mark.parametrize("content", [b"caf\xe9", b"a\0b", "text".encode("utf-16")])
@pytest.mark.parametrize("name", ["corpus/text.txt", "data/train.csv", "data/dev.tsv", "data/test.jsonl"])
def test_text_that_is_no_text_is_told_with_its_line(
    name: str, content: bytes, world: Path, run_harness: RunHarness
) -> None:
    path = world / name
    format = path.suffix[1:].replace("txt", "jsonl")
    (world / "spec.yaml").write_text(SPEC.replace("FMT", format))
    begun = path.read_bytes()
    path.write_bytes(begun + content + b"\n" + begun)
    for command in ("validate", "plan"):
        code, (line,) = run_harness(command, "spec.yaml")
        assert code == 2
        assert f"{path.name}:{begun.count(10) + 1}: " in line, line
        assert "not in utf-8" in line or "a NUL byte" in line
