"""A term and a mapping from an installed third-party package: the example of docs/adding-a-method.md, run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "example-plugin"
METHOD = """\
schema: 1
name: mine
family: HS
summary: from a package
objective:
  - {term: state_norm}
  - {term: hidden_states, mapping: first_k}
"""
TRAINED = """
import torch
from pathlib import Path
from harness.methods.loss import Activations, Batch
from harness.methods.objective import build_objective
from harness.shapes import (Shape)
from harness.spec.catalog import Catalog
from harness.spec.entries import Method
method = Catalog().get("methods", "./mine.yaml", Method, Path("."))[1]
shape = Shape(2, 8, 2, 32, 100, "bert", False)
objective = build_objective(method.objective[:1], shape, shape)
(name, term), = objective._items()
real = torch.tensor([[True] * 3, [True, False, False]])
batch = Batch(torch.zeros(2, 3, dtype=torch.int64), real, torch.full((2, 3), -100))
states = torch.randn(2, 3, 8)
longer = states * 2
same = term(Activations(hidden={2: states}), Activations(hidden={2: states}), batch)
other = term(Activations(hidden={2: states}), Activations(hidden={2: longer}), batch)
wanted = states[batch.attention_mask].norm(dim=-1).square().sum()
assert same == 0 and torch.isclose(other, wanted) and term.count(batch) == 4
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python that has the example installed: its modules, and the metadata an installer writes."""
    site = tmp_path / "site"
    shutil.copytree(
        EXAMPLE / "harness_example", site / "harness_example", ignore=shutil.ignore_patterns("__pycache__")
    )
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    metadata = site / "distil_harness_example-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    (tmp_path / "mine.yaml").write_text(METHOD)
    return {**os.environ, "PYTHONPATH": str(site)}


def python(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_specs_name_what_an_installed_package_adds(tmp_path: Path, installed: dict[str, str]) -> None:
    valid = python(tmp_path, installed, "-m", "harness.cli", "validate", "mine.yaml")
    assert (valid.returncode, valid.stderr) == (0, "")
    shown = python(
        tmp_path,
        installed,
        "-m",
        "harness.cli",
        "methods",
        "./mine.yaml",
        "--teacher-layers",
        "4",
        "--student-layers",
        "2",
    )
    assert "mean((‖H^S_L‖ − ‖H^T_L‖)²) over real tokens" in shown.stdout
    assert "first_k, 4 teacher and 2 student layers" in shown.stdout


def test_a_mistake_in_its_parameters_is_reported_at_its_line(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    (tmp_path / "mine.yaml").write_text(METHOD.replace("state_norm}", "state_norm, rot: true}"))
    wrong = python(tmp_path, installed, "-m", "harness.cli", "validate", "mine.yaml")
    assert wrong.returncode == 2
    assert wrong.stderr == "mine.yaml:6:24: objective.0: unknown key 'rot'; did you mean 'root'?\n"


def test_its_term_computes_the_loss(tmp_path: Path, installed: dict[str, str]) -> None:
    done = python(tmp_path, installed, "-c", TRAINED)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_package_the_term_is_unknown(tmp_path: Path, installed: dict[str, str]) -> None:
    plain = {**installed, "PYTHONPATH": ""}
    wrong = python(tmp_path, plain, "-m", "harness.cli", "validate", "mine.yaml")
    assert wrong.returncode == 2
    assert "unknown term 'state_norm'" in wrong.stderr
