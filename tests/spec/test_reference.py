"""What is generated from the schema is what is committed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.catalog import NOUNS, shipped_specs
from harness.spec.yaml.reference import json_schema, kinds, reference, schema_text

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_committed_json_schema_is_up_to_date(kind: str) -> None:
    committed = (shipped_specs() / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert committed == schema_text(kind), "run: harness schema --out specs/schema"


def test_the_committed_reference_is_up_to_date() -> None:
    committed = (DOCS / "specs.md").read_text(encoding="utf-8")
    assert committed == reference(), "run: harness schema --reference > docs/specs.md"


def test_every_field_of_the_recipes_is_described_where_its_name_is_not_enough() -> None:
    distil = json_schema("spec")["$defs"]["Distil"]["properties"]
    assert distil["batch_size"]["description"] == "Token blocks per step, over all workers together."
    assert "description" in distil["cohort"]


@pytest.mark.parametrize(
    "path", sorted(shipped_specs().rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_shipped_file_points_editors_at_the_schema_of_its_kind(path: Path) -> None:
    mark, _, schema = path.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")
    kind = NOUNS.get(path.parent.name, "spec")
    assert mark == "# yaml-language-server: "
    assert (path.parent / schema).resolve() == shipped_specs() / "schema" / f"{kind}.json"
    assert (path.parent / schema).is_file()
