"""What the documentation shows can be copied: every YAML example is a whole file that validates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.spec.catalog import Catalog, anchored, kind_of, shipped_specs
from harness.spec.entries import entry_kinds
from harness.spec.resolve import check_entry
from harness.spec.yaml.source import parse

PAGE = shipped_specs().parent / "docs" / "data.md"
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_has_examples_of_each_kind() -> None:
    kinds = [kind_of(Path("example.yaml"), parse(snippet, "example.yaml", Path())) for snippet in SNIPPETS]
    assert sorted(kinds) == ["corpora", "tasks", "teachers"]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_an_example_validates_as_it_stands(snippet: str, tmp_path: Path) -> None:
    document = anchored(parse(snippet, "example.yaml", tmp_path))
    kind = kind_of(tmp_path / "example.yaml", document)
    assert check_entry(document, entry_kinds()[kind], kind, Catalog()).name.startswith("my-")
