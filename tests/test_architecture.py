"""The documents name files that exist, and the architecture page lists every room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
TOPS = ("harness", "leaderboard", "specs", "benchmarks", "tests", "docs")
NAMED = re.compile(rf"`((?:{'|'.join(TOPS)})/[\w./-]*)`")
LINKED = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def tree() -> str:
    """The listing of the architecture page."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return text.partition("## The tree")[2].split("```")[1]


def test_every_pattern_finds_something() -> None:
    texts = " ".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert NAMED.search(texts)
    assert LINKED.search(texts)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_and_links_what_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    missing += [link for link in LINKED.findall(text) if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize(
    "room",
    sorted(path.parent for path in (ROOT / "harness").rglob("__init__.py")),
    ids=lambda path: path.name,
)
def test_a_room_stands_in_the_tree(room: Path) -> None:
    assert re.search(rf"^\s*{room.name}/\s", tree(), re.MULTILINE)


def test_modules_of_the_ground_floor_stand_in_the_tree() -> None:
    listed = set(re.findall(r"\w+\.py", tree()))
    assert {path.name for path in (ROOT / "harness").glob("*.py")} - {"__init__.py"} == listed
