"""All that is particular to a kind of task is in its object: no other module asks what a task is called."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.kinds import KINDS, FineTunedKind, UntrainedKind
from harness.spec.entries import Task

ROOT = Path(__file__).parents[2]
MODULES = [
    path
    for package in ("harness", "leaderboard", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_relative_to(ROOT / "harness" / "kinds")
]


def decisions(source: str) -> Iterator[int]:
    """Lines on which the name of a kind of task decides: compared, matched, looked up, or among several values; and
    on which a task's `type` is asked for."""
    for node in ast.walk(ast.parse(source)):
        asked: list[ast.expr | None] = []
        match node:
            case ast.Compare(left=left, comparators=others):
                asked = [left, *others]
            case ast.MatchValue(value=value):
                asked = [value]
            case ast.Subscript(slice=index):
                asked = [index]
            case ast.Dict(keys=keys):
                asked = list(keys)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                asked = list(elements)
            case ast.Call(func=ast.Attribute(attr="get" | "startswith" | "endswith"), args=arguments):
                asked = list(arguments)
            case ast.Attribute(value=ast.Name(id="task") | ast.Attribute(attr="task"), attr="type"):
                yield node.lineno
        if any(isinstance(one, ast.Constant) and one.value in KINDS for one in asked):
            yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_decides_by_the_name_of_a_kind(path: Path) -> None:
    assert list(decisions(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", list(KINDS))
@pytest.mark.parametrize(
    "line",
    [
        "x = task.type",
        "x = one.task.type == other",
        "if kind == {name!r}: pass",
        "if {name!r} != kind: pass",
        "if kind in ({name!r}, 'other'): pass",
        "x = {{{name!r}: 1}}[kind]",
        "x = table[{name!r}]",
        "x = table.get({name!r})",
        "match kind:\n    case {name!r}: pass",
    ],
)
def test_such_a_decision_would_be_found(name: str, line: str) -> None:
    assert list(decisions(line.format(name=name)))


def test_the_kinds_load_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "numpy", "pandas", "scipy", "sklearn"}
    code = f"import sys, harness.kinds; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_is_fine_tuned_or_scored_as_it_is(kind: object) -> None:
    assert isinstance(kind, FineTunedKind) != isinstance(kind, UntrainedKind)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "clasification"}, "unknown kind of task 'clasification'; did you mean 'classification'?"),
        (
            {"type": "regression", "metrics": ["pearson", "f1"]},
            "the metric 'f1' cannot score a regression task",
        ),
        (
            {"type": "retrieval", "metrics": ["spearman"]},
            "the metric 'spearman' cannot score a retrieval task",
        ),
        ({"labels": {"yes": 1}}, "names at least two labels"),
        ({"type": "regression", "metrics": ["pearson"], "columns": {"text": "t"}}, "and a label column"),
        ({"splits": {"test": {"files": "test.jsonl"}}}, "needs a train split"),
    ],
)
def test_what_a_kind_needs_is_asked_of_the_task_file(changes: dict[str, object], message: str) -> None:
    whole = {
        "name": "pairs", "suite": "S", "assets": {"data": {"sources": [{"path": "task"}]}},
        "splits": {"train": {"files": "train.jsonl"}, "test": {"files": "test.jsonl"}},
        "columns": {"text": "t", "label": "y"}, "labels": {"no": 0, "yes": 1}, "metrics": ["accuracy", "matthews"],
    }  # fmt: skip
    Task.model_validate(whole)
    with pytest.raises(ValidationError, match=re.escape(message)):
        Task.model_validate({**whole, **changes})
