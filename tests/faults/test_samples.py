"""A few faults of each kind; the commands of `tests.faults.injection` inject many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.records.trial import Trial
from harness.results.store import Store
from tests.faults.injection import full_disk, fuzz_specs, hostile_files, kill_driver
from tests.faults.injection.tiny import SETTINGS
from tests.faults.injection.verdict import CannotTryError, Verdict
from tests.faults.injection.watch import WATCH
from tests.schedule.trials import finetune

LOCAL = ("--backend", "local")
"""In one process: starting Ray takes longer than the plan. `tests/schedule/test_ray.py` kills its workers."""
SMALLER: dict[str, Any] = {
    "grid": {**SETTINGS["grid"], "method": ["od", "hs-emd"], "seed": [1]},
    "prepare": None,
    "measure": {"enabled": False},
}


def hold(verdict: Verdict) -> None:
    """Fail with every claim that did not hold."""
    assert not verdict.broken, "\n".join([str(verdict), *verdict.broken])


def test_a_driver_killed_at_a_random_moment_is_succeeded_by_one_that_ends_with_the_same_bits(
    tmp_path: Path,
) -> None:
    hold(kill_driver.prove(tmp_path, count=1, seed=1, options=LOCAL, **SMALLER))


def test_a_disk_that_fills_up_is_named_and_harms_nothing(tmp_path: Path) -> None:
    try:
        hold(full_disk.prove(tmp_path, count=1, seed=1, options=LOCAL, **SMALLER))
    except CannotTryError as error:
        pytest.skip(str(error))


def plan_one_by_one(store: Store, trials: list[Trial]) -> None:
    """A transaction for each."""
    for trial in trials:
        store.plan([trial])


@pytest.mark.parametrize("kilobytes", [16, 64, 256, 1024])
def test_a_database_on_a_full_disk_says_so_and_goes_on_once_there_is_room(
    kilobytes: int, tmp_path: Path
) -> None:
    trials = [finetune(f"f{number}") for number in range(40)]
    try:
        with full_disk.small_disk(tmp_path / "disk") as disk:
            full_disk.resize(disk, kilobytes * 2**10)
            store = Store(disk / "results.duckdb")
            with pytest.raises(InputError, match="the disk is full; make room"):
                plan_one_by_one(store, trials)
            full_disk.resize(disk, full_disk.ROOM)
            store.plan(trials)
            assert len(store.frame("SELECT * FROM trials")) == len(trials)
    except CannotTryError as error:
        pytest.skip(str(error))


def test_damaged_specs_end_with_0_or_2_and_without_a_traceback(tmp_path: Path) -> None:
    hold(fuzz_specs.prove(tmp_path, count=75, seed=2))


def test_hostile_bundles_checkpoints_and_models_do_nothing(tmp_path: Path) -> None:
    hold(hostile_files.prove(tmp_path, count=60, seed=2))


def test_the_watch_sees_what_it_is_for(tmp_path: Path) -> None:
    import pickle
    import subprocess

    from tests.faults.injection import bombs

    hostile, other = tmp_path / "hostile", tmp_path / "other"
    hostile.mkdir()
    other.mkdir()
    with WATCH.over(hostile, hostile) as seen:
        (hostile / "fine").write_text("permitted")
        assert seen == []
        (other / "file").write_text("elsewhere")
        pickle.loads(bombs.pickled(other))
        subprocess.run(["true"], check=True)
        exec(compile("1", str(hostile / "module.py"), "exec"))
    events = " ".join(seen)
    for event in ("open", "pickle.find_class", "os.mkdir", "subprocess.Popen", "code of"):
        assert event in events, event
