"""What the documentation shows can be copied: every YAML example is a whole file that validates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.plan import build_plan
from harness.plan.cost import Speed, estimate
from harness.spec.catalog import Catalog, anchored, kind_of, shipped_specs
from harness.spec.entries import entry_kinds
from harness.spec.resolve import check_entry, load_spec
from harness.spec.yaml.source import parse

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
    assert sorted(kinds) == ["corpora", "tasks", "teachers"]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_an_example_validates_as_it_stands(snippet: str, tmp_path: Path) -> None:
    document = anchored(parse(snippet, "example.yaml", tmp_path))
    kind = kind_of(tmp_path / "example.yaml", document)
    assert check_entry(document, entry_kinds()[kind], kind, Catalog()).name.startswith("my-")
