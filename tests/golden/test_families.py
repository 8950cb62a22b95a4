"""No golden case goes unchecked in silence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .cases import find_cases
from .families import KNOWN_FAMILIES


def test_every_family_in_the_folder_is_known_to_a_test_module(golden_dir: Path) -> None:
    found = {case.family for case in find_cases(golden_dir)}
    assert found, f"{golden_dir} holds no golden case"
    unknown = found - set(KNOWN_FAMILIES)
    assert not unknown, (
        f"no test knows {sorted(unknown)}; found {sorted(found)}, known {sorted(KNOWN_FAMILIES)}"
    )


@pytest.mark.parametrize(("family", "module"), KNOWN_FAMILIES.items())
def test_the_module_named_for_a_family_has_a_test_marked_for_it(family: str, module: str) -> None:
    path = Path(__file__).with_name(f"{module}.py")
    assert path.is_file(), f"{family}: tests/golden/{module}.py is missing"
    assert family in _marked_families(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{module}.py has no test marked for {family}"
    )


def _marked_families(tree: ast.Module) -> set[str]:
    """The families in every `@pytest.mark.golden("...")` of a module's test functions."""
    marks = [mark for node in tree.body if isinstance(node, ast.FunctionDef) for mark in node.decorator_list]
    return {
        arg.value
        for mark in marks
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.golden"
        for arg in mark.args
        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
    }
