"""What the documentation shows can be copied: every YAML example is a whole file that validates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main
from harness.plan import build_plan
from harness.plan.cost import Speed, estimate
from harness.spec.catalog import Catalog, anchored, kind_of, shipped_specs
from harness.spec.entries import entry_kinds
from harness.spec.resolve import check_entry, load_spec
from harness.spec.yaml.source import parse
from tests.trials.world import make_world, sentences

PAGE = shipped_specs().parent / "docs" / "data.md"
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


README = (shipped_specs().parent / "README.md").read_text("utf-8")


def test_the_example_of_the_readme_is_a_plan_of_minutes(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(example)
    plan = build_plan(load_spec(path), lambda asset: asset.sha256, "m")
    assert f"{len(plan.trials)} trials" in README
    core_minutes = sum(estimate(plan, Speed()).values()) / 60
    assert 1 < core_minutes < 40


def test_the_page_has_examples_of_each_kind() -> None:
    kinds = [kind_of(Path("example.yaml"), parse(snippet, "example.yaml", Path())) for snippet in SNIPPETS]
    assert sorted(kinds) == ["corpora", "tasks", "tasks", "teachers"]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_an_example_validates_as_it_stands(snippet: str, tmp_path: Path) -> None:
    document = anchored(parse(snippet, "example.yaml", tmp_path))
    kind = kind_of(tmp_path / "example.yaml", document)
    assert check_entry(document, entry_kinds()[kind], kind, Catalog()).name.startswith("my-")


SPEC = """\
schema: 1
name: mine
teacher: my-teacher
corpus: my-corpus
grid:
  method: [hs-uniform]
  student: [{name: 2l-16, layers: 2, width: 16, heads: 2, ffn: 32}]
distil: {steps: 2, warmup_steps: 1, batch_size: 8, length: 16}
tasks: [my-rte]
exclude_overlap: true
finetune: {learning_rate: 3e-3, epochs: 1, batch_size: 16, length: 24}
measure: {batch_sizes: [1], length: 16, repeats: 5, warmup: 1}
"""


def test_the_examples_are_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each in a file where a catalog has it, and beside them the data that they name; the hub is not asked."""
    for snippet in SNIPPETS:
        kind = kind_of(tmp_path / "example.yaml", parse(snippet, "example.yaml", tmp_path))
        name = str(parse(snippet, "example.yaml", tmp_path).data["name"])
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{name}.yaml").write_text(snippet)
    make_world(tmp_path / "world")
    (tmp_path / "world" / "teacher").rename(tmp_path / "my-model")
    (tmp_path / "corpora" / "my-books").mkdir()
    (tmp_path / "corpora" / "my-books" / "one.txt").write_text("\n\n".join(sentences(1_000)))
    rte = tmp_path / "data" / "glue" / "rte"
    rte.mkdir(parents=True)
    rows = pd.DataFrame({"sentence1": sentences(200), "sentence2": sentences(200)[::-1]})
    rows = rows.assign(label=[int(" sees " in text) for text in rows["sentence1"]])
    rows[:150].to_parquet(rte / "train-00000-of-00001.parquet")
    rows[150:].to_parquet(rte / "validation-00000-of-00001.parquet")
    (tmp_path / "spec.yaml").write_text(SPEC)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    run = ["run", str(tmp_path / "spec.yaml"), "--backend", "local", "--runs-dir", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as left:
        main(run)
    assert (left.value.code or 0) == 0, capsys.readouterr().err
    scored = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/result.json")]
    scores = [score for result in scored for score in result["scores"]]
    assert {(score["task"], score["n"]) for score in scores if score["split"] == "dev"} == {("my-rte", 50)}
