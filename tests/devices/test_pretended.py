"""Every kind of trial on a pretended CUDA device: nothing is on the wrong device, and the processor waits for the device no
more often than is written here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.spec.catalog import Catalog
from harness.spec.entries import Method

ROOT = Path(__file__).parents[2]
METHODS = [method for method in Catalog().entries("methods", Method) if method.objective]
DYNAMIC = ("emd", "greedy", "random", "attention")
CHECKED = "training/steplog.py:check"
"""Losses are looked at in the last step, and elsewhere each fiftieth or once a second."""


@pytest.fixture(scope="module")
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes torch believe in a device."""
    if not request.config.getoption("--thorough"):
        pytest.skip("half a minute of the processor: with --thorough")
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("building the pretended device needs g++")
    if torch.backends.cuda.is_built():
        pytest.skip("a torch that is built for CUDA does not believe in another device")
    built = tmp_path_factory.mktemp("pretended") / "cuda.so"
    folder = Path(torch.__file__).parent
    places = [f"-I{folder / path}" for path in ("include", "include/torch/csrc/api/include")]
    libraries = [f"-L{folder / 'lib'}", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{folder / 'lib'}"]
    source = ROOT / "tests/devices/pretended/cuda.cpp"
    options = ["-shared", "-fPIC", "-O0", "-std=c++20"]
    subprocess.run([compiler, *options, *places, str(source), *libraries, "-o", str(built)], check=True)
    return built


def parts(method: Method) -> list[tuple[str, str]]:
    """Its terms, and what their mappings follow."""
    mappings = [getattr(getattr(term, "mapping", None), "name", "") for term in method.objective]
    named = [name if name in DYNAMIC else "" for name in mappings]
    return [(term.term, name) for term, name in zip(method.objective, named, strict=True)]


@pytest.fixture(scope="module")
def methods() -> dict[str, Method]:
    """One of those that differ in nothing but which layers they name."""
    return {method.name: method for method in {str(parts(method)): method for method in METHODS}.values()}


@pytest.fixture(scope="module")
def found(
    library: Path, methods: dict[str, Method], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `tests.devices.pretended.everything` says."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.devices.pretended.everything",
            str(tmp_path_factory.mktemp("everything")),
            *methods,
        ],
        env={**os.environ, "PRETENDED_CUDA": str(library), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def expected(method: Method) -> set[str]:
    """Where a step of this method waits: for the number of corrupted positions, or for what a mapping follows."""
    waits = {CHECKED}
    for term, mapping in parts(method):
        if term in ("logits", "mlm"):
            waits.add(f"methods/losses/{term}.py:forward")
        if mapping in ("emd", "greedy"):
            waits.add("training/member.py:_refresh")
    return waits


@pytest.mark.timeout(1200)
def test_every_kind_of_trial_on_a_card_waits_and_copies_no_more_than_it_must(
    found: dict[str, Any], methods: dict[str, Method]
) -> None:
    """One test, since what it looks at takes half a minute to make."""
    assert found["errors"] == []
    steps = found["steps"]
    assert steps.keys() == {*methods, "prepare", "finetune"}
    assert {name: set(steps[name]["waits"]) for name in methods} == {
        name: expected(method) for name, method in methods.items()
    }
    assert set(steps["prepare"]["waits"]) == {CHECKED, "methods/losses/mlm.py:forward"}
    assert set(steps["finetune"]["waits"]) == {CHECKED}
    assert {name: step["copies"] for name, step in steps.items() if step["copies"]} == {
        "finetune": {"tasks/encoded.py:batch": 3, "trials/finetune.py:_learn": 1}
    }
    # From the card to the processor, back, and to the processor again.
    assert found["moved"] == {"errors": [], "flags": ["devices:cpu+cuda"], "resumed": 3}
