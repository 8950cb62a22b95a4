"""A term and a mapping from an installed third-party package: the example of docs/adding-a-method.md, run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


DISTILLED = """
from pathlib import Path
from harness.spec.catalog import Catalog
from harness.spec.entries import Method
from harness.trials.run import run_trials
from tests.trials.world import FLAT_STUDENT, distil_trial, make_world
method = Catalog().get("methods", "./mine.yaml", Method, Path("."))[1]
world = make_world(Path("world"))
trial = distil_trial(world, method, student=FLAT_STUDENT, steps=1, warmup_steps=0)
[result] = run_trials([trial], world.site())
assert result.status == "ok", result
assert set(result.provenance.plugins) == {"term state_norm", "mapping first_k"}
assert all(origin.startswith("distil-harness-example 0.1.0, code ") for origin in result.provenance.plugins.values())
"""
STATED = """
from pathlib import Path
from harness.spec.catalog import Catalog
from harness.spec.entries import Method
from harness.spec.plugins import plugins_of, recipe_versions
from harness_example.params import StateNorm
method = Catalog().get("methods", "./mine.yaml", Method, Path("."))[1]
assert recipe_versions(method) == {}
StateNorm.recipe_version = 2
assert recipe_versions(method) == {"plugin/term/state_norm": "2"}
print(plugins_of(method)[0].origin)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules into which pip has built and installed the example, without network."""
    pytest.importorskip("hatchling", reason="the example's build backend, of the dev extra, is not installed")
    site = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
            "--no-deps", "--no-build-isolation", "--target", str(site), str(EXAMPLE),
        ],
        check=True,
    )  # fmt: skip
    return site


@pytest.fixture
def installed(tmp_path: Path, built: Path) -> dict[str, str]:
    """The environment of a Python that has the example installed, and a method that uses it."""
    (tmp_path / "mine.yaml").write_text(METHOD)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(built), str(EXAMPLE.parents[1])))}


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


def test_a_student_is_distilled_by_its_term_and_mapping(tmp_path: Path, installed: dict[str, str]) -> None:
    done = python(tmp_path, installed, "-c", DISTILLED)
    assert done.returncode == 0, done.stderr


def test_a_recipe_version_that_is_stated_enters_ids_and_edited_code_shows(
    tmp_path: Path, installed: dict[str, str]
) -> None:
    own = tmp_path / "site"
    shutil.copytree(installed["PYTHONPATH"].split(os.pathsep)[0], own)
    origins = []
    for edit in ("", "\n# edited\n"):
        code = own / "harness_example" / "losses.py"
        code.write_text(code.read_text() + edit)
        done = python(tmp_path, {**installed, "PYTHONPATH": str(own)}, "-c", STATED)
        assert done.returncode == 0, done.stderr
        origins.append(done.stdout)
    assert origins[0] != origins[1]
