"""A machine's profile: measured, kept, read by whoever plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.devices.matmul import matmul_peak
from harness.devices.provenance import fingerprint
from harness.records.machine import MachineProfile


def test_the_fastest_matmul_that_any_process_has_measured_is_kept(tmp_path: Path) -> None:
    measured = matmul_peak(tmp_path, "cpu", "fp32", threads=1)
    assert measured > 1e8
    profile = MachineProfile.read(tmp_path, fingerprint(1))
    assert profile.peak("cpu", "fp32") == measured
    for kept, expected in ((measured / 2, measured), (measured * 2, measured * 2)):
        profile.with_peak("cpu", "fp32", kept).write(tmp_path)
        assert matmul_peak(tmp_path, "cpu", "fp32", threads=1) == expected
        assert MachineProfile.read(tmp_path, fingerprint(1)).peak("cpu", "fp32") == expected


def test_a_profile_of_another_torch_or_a_damaged_one_counts_for_nothing(tmp_path: Path) -> None:
    MachineProfile("here", matmul_peak={"cpu fp32": 1.0}).write(tmp_path)
    (path,) = (tmp_path / "machines").iterdir()
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "torch": "0.1"}))
    assert MachineProfile.read(tmp_path, "here").peak("cpu", "fp32") is None
    for damaged in ("", "[]", "{", '{"matmul_peak": 3}'):
        path.write_text(damaged)
        assert MachineProfile.read(tmp_path, "here").matmul_peak == {}


@pytest.mark.parametrize(("precision", "rate"), [("fp32", 1.0), ("bf16", 2.0), ("auto", 2.0)])
def test_auto_is_the_faster_precision(precision: str, rate: float) -> None:
    profile = MachineProfile("here", matmul_peak={"cpu fp32": 1.0, "cpu bf16": 2.0, "cuda bf16": 9.0})
    assert profile.peak("cpu", precision) == rate
