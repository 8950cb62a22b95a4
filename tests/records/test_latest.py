"""Estimates learn from the trials that ended last, whatever their ids."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.plan import build_plan
from harness.records.folder import TrialFolder
from harness.records.latest import latest_trials
from harness.records.result import Provenance, Result
from harness.records.trial import Trial
from harness.spec.resolve import load_spec
from tests.spec.writing import write_spec

BEHIND = Provenance(harness="0", versions={}, device="cpu", fingerprint="m", precision="fp32", threads=1)


def trials(folder: Path) -> tuple[Trial, ...]:
    return build_plan(load_spec(write_spec(folder)), lambda asset: "x", "m").trials


def record(runs: Path, trial: Trial, at: float, status: str = "ok") -> None:
    folder = TrialFolder.of(runs, trial.id)
    folder.write_trial(trial)
    result = Result(
        trial_id=trial.id, kind=trial.kind, status=status, started_at=0, finished_at=at, seconds=1,  # type: ignore[arg-type]
        provenance=BEHIND,
    )  # fmt: skip
    folder.write_result(result)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_latest_by_time_are_read_and_no_others(tmp_path_factory, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("runs")
    some = trials(folder)[:12]
    times = data.draw(st.permutations(range(len(some))))
    failed = data.draw(st.sets(st.sampled_from(range(len(some)))))
    for trial, at in zip(some, times, strict=True):
        record(folder / "runs", trial, 1e9 + at, "failed" if at in failed else "ok")
    most = data.draw(st.integers(1, len(some)))
    read = latest_trials(folder / "runs", most)
    wanted = [at for at in sorted(range(len(some)), reverse=True) if at not in failed][:most]
    assert [result.finished_at - 1e9 for _, result in read.ended] == wanted
    assert {trial.id for trial, _ in read.ended} <= read.known.keys()


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    runs, some = tmp_path / "runs", trials(tmp_path)[:4]
    for number, trial in enumerate(some):
        record(runs, trial, float(number))
    stated = json.loads((runs / some[0].id / "result.json").read_text())
    (runs / some[0].id / "result.json").write_text(json.dumps({**stated, "finished_at": None}))
    (runs / some[1].id / "result.json").write_text("{")
    (runs / some[2].id / "trial.json").unlink()
    assert [trial.id for trial, _ in latest_trials(runs).ended] == [some[3].id]
    assert latest_trials(tmp_path / "none").ended == ()


def test_ancestors_that_have_not_ended_are_known(tmp_path: Path) -> None:
    every = {trial.id: trial for trial in trials(tmp_path)}
    child = next(trial for trial in every.values() if trial.kind == "finetune" and trial.parents)
    record(tmp_path / "runs", child, 1.0)
    TrialFolder.of(tmp_path / "runs", child.parents[0]).write_trial(every[child.parents[0]])
    read = latest_trials(tmp_path / "runs")
    assert [trial.id for trial, _ in read.ended] == [child.id]
    assert read.known.keys() == {child.id, child.parents[0]}
