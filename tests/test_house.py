"""Limits that keep the tree easy to read."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for room in ("harness", "leaderboard") for path in (ROOT / room).rglob("*.py"))
TESTS = sorted(path for room in ("tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 400


@pytest.mark.parametrize("module", [*MODULES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_at_most_400_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_no_class_name_is_used_twice() -> None:
    """Private and nested classes too."""
    names = Counter(
        node.name
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, uses in names.items() if uses > 1] == []


MOST_MODULES = 14


@pytest.mark.parametrize(
    "room", sorted({path.parent for path in MODULES}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_room_has_about_a_dozen_modules(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if path.name != "__init__.py"]) <= MOST_MODULES


def test_a_loss_term_has_three_places_of_one_name() -> None:
    places = [ROOT / "harness/methods/terms", ROOT / "harness/methods/losses"]
    terms, losses = ({path.stem for path in place.glob("*.py")} - {"__init__"} for place in places)
    assert terms == losses
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests/methods").glob("test_*.py")}
    assert terms - {"layer_pairs"} <= tested  # what hidden_states and cosine share
