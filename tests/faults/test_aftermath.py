"""The proofs see what they are for: a start too many, a trial run again, a process left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.faults.injection.aftermath import Moment, check_drivers
from tests.faults.injection.tiny import Driver
from tests.faults.injection.verdict import Verdict

ONE, TWO = "1" * 16, "2" * 16
LOST = f"10:00:01 {ONE} distil od 2l-16: its worker process died; tried again"
LOST_WITH_ANOTHER = (
    f"10:00:01 {ONE} distil od 2l-16 and 1 more: its worker slot died, or its machine; tried again"
)
NOT_BEGUN = f"10:00:01 {ONE} distil od 2l-16: its worker process died, before it could begin; tried again"


def start(trial: str) -> str:
    """The line that tells of one."""
    return f"10:00:00 start  {trial} distil od 2l-16 en tiny-teacher 1"


def driver(folder: Path, *lines: str) -> Driver:
    """One that has ended and said these lines."""
    log = folder / f"{len(list(folder.iterdir()))}.log"
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Driver(process, log)


def broken(folder: Path, drivers: list[Driver], *moments: Moment) -> list[str]:
    """What the proof has to say of them."""
    verdict = Verdict("test")
    check_drivers(verdict, folder / "runs", drivers, moments)
    return verdict.broken


@pytest.mark.parametrize(
    ("lines", "unneeded"),
    [
        ([start(ONE), start(TWO)], 0),
        ([start(ONE), LOST, start(ONE)], 0),
        ([start(ONE), start(TWO), LOST_WITH_ANOTHER, start(ONE), start(TWO)], 0),
        ([start(ONE), start(ONE)], 1),
        ([start(ONE), NOT_BEGUN, start(ONE)], 1),
        ([start(ONE), LOST, start(ONE), start(ONE)], 1),
        ([start(ONE), start(TWO), LOST, start(ONE), start(TWO)], 1),
    ],
)
def test_a_start_that_no_lost_worker_made_necessary_is_seen(
    lines: list[str], unneeded: int, tmp_path: Path
) -> None:
    found = broken(tmp_path, [driver(tmp_path, *lines)])
    assert len(found) == unneeded
    assert all("1 starts too many" in line for line in found)


def test_a_trial_that_had_ended_before_the_next_driver_started_it_is_seen(tmp_path: Path) -> None:
    drivers = [driver(tmp_path, start(ONE), start(TWO)), driver(tmp_path, start(TWO))]
    assert not broken(tmp_path, drivers, Moment({ONE: 1}, frozenset()))
    (line,) = broken(tmp_path, drivers, Moment({TWO: 1}, frozenset()))
    assert TWO in line


def test_a_process_that_outlives_its_run_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = driver(tmp_path, start(ONE))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as left:
        one.family[left.pid] = psutil.Process(left.pid)
        monkeypatch.setattr(Driver.orphans, "__defaults__", (0.1,))
        (line,) = broken(tmp_path, [one])
        left.communicate(b"\n")
    assert "input()" in line
    assert not broken(tmp_path, [one])
