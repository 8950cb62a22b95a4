"""One driver for a runs directory: the second is refused by name, the dead are succeeded."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.schedule.claim import CLAIM, STALE_SECONDS, Holder, claimed, holder

HOLD = (
    "import sys, time; from pathlib import Path; from harness.schedule.claim import claimed\n"
    "with claimed(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def other(tmp_path: Path):
    """Another process that holds the directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def write(runs_dir: Path, claim: Holder) -> None:
    """Somebody's claim."""
    (runs_dir / CLAIM).write_text(claim.model_dump_json())


def test_the_second_driver_is_told_who_holds_the_directory(tmp_path: Path, other: subprocess.Popen) -> None:
    with pytest.raises(InputError, match=rf"process {other.pid} on {os.uname().nodename}"), claimed(tmp_path):
        pytest.fail("two drivers")
    assert holder(tmp_path).pid == other.pid


def test_a_killed_holder_is_succeeded_at_once(tmp_path: Path, other: subprocess.Popen) -> None:
    other.kill()
    other.wait()
    with claimed(tmp_path):
        assert holder(tmp_path).pid == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_took_over_the_number_of_a_dead_one_is_not_taken_for_it(tmp_path: Path) -> None:
    me = Holder.here()
    write(tmp_path, me.model_copy(update={"created": me.created - 1000}))
    with claimed(tmp_path):
        assert holder(tmp_path).created == me.created


@pytest.mark.parametrize(("silent", "stale"), [(0.0, False), (STALE_SECONDS + 5, True)])
def test_a_holder_elsewhere_is_judged_by_its_heartbeat(tmp_path: Path, silent: float, stale: bool) -> None:
    write(tmp_path, Holder.here().model_copy(update={"host": "elsewhere", "machine": "elsewhere"}))
    os.utime(tmp_path / CLAIM, times=(time.time() - silent,) * 2)
    if stale:
        with claimed(tmp_path):
            assert holder(tmp_path).host != "elsewhere"
    else:
        with pytest.raises(InputError, match="on elsewhere"), claimed(tmp_path):
            pytest.fail("two drivers")


def test_of_many_that_find_a_dead_holder_one_succeeds(tmp_path: Path) -> None:
    me = Holder.here()
    write(tmp_path, me.model_copy(update={"created": me.created - 1000}))
    commands = [[sys.executable, "-c", HOLD, str(tmp_path)] for _ in range(3)]
    racers = [
        subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for c in commands
    ]
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until and sum(racer.poll() is not None for racer in racers) < 2:
            time.sleep(0.1)
        (winner,) = [racer for racer in racers if racer.poll() is None]
        assert holder(tmp_path).pid == winner.pid
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
