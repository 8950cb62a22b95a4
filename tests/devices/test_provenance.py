"""What is recorded of the machine and the code behind a number."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import harness
from harness.devices import provenance

ROOT = Path(harness.__file__).parents[1]


@pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="runs from an installed package, not from a checkout"
)
def test_the_commit_is_that_of_the_checkout() -> None:
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    recorded = provenance.collect(device="cpu", precision="fp32", threads=1).commit
    assert recorded is not None
    assert recorded.removesuffix("+changes") == head.stdout.strip()
