"""What a run says of its cost before it begins, and what to type when it has ended."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest

from harness.cli import main
from harness.cli.planned.from_spec import load_plan, sources_of, speed_here
from harness.cli.running import hindsight_of, next_command
from harness.devices.cores import available_cores
from harness.plan.cost import Estimate
from harness.schedule import RunSummary
from harness.schedule.dispatch.rehearsal import Machines
from harness.schedule.live_view import PlainLog
from harness.schedule.local import this_machine
from tests.spec.writing import write_spec

AGAIN = ["harness", "run", "a spec.yaml"]
WHERE = ["--runs-dir", "my runs"]


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (RunSummary(3, 2, 1, 0, 0, 9.0), ["harness", "leaderboard", *WHERE]),
        (RunSummary(3, 0, 3, 0, 0, 9.0), ["harness", "leaderboard", *WHERE]),
        (RunSummary(3, 1, 1, 1, 0, 9.0), ["harness", "status", *WHERE]),
        (RunSummary(3, 1, 0, 1, 1, 9.0), ["harness", "status", *WHERE]),
        (RunSummary(3, 1, 0, 0, 0, 9.0, interrupted=True), AGAIN),
    ],
)
def test_a_run_ends_with_the_next_command_to_type(summary: RunSummary, expected: list[str]) -> None:
    line = next_command(summary, AGAIN, WHERE)
    command = line[line.index("harness") :].partition("   (")[0]
    assert shlex.split(command) == expected


def test_what_a_run_took_stands_beside_what_was_expected() -> None:
    summary = RunSummary(3, 3, 0, 0, 0, 90.0)
    assert (
        hindsight_of(summary, 60.0, "work")
        == "1 min 30 s by the clock; 60 s were expected at the start; work"
    )
    assert hindsight_of(summary, None, "work") == "work"
    assert hindsight_of(summary, 60.0, None) is None
    assert hindsight_of(RunSummary(3, 1, 0, 0, 0, 9.0, interrupted=True), 60.0, "work") == "work"


def test_the_plan_shows_the_estimate_that_a_run_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    spec = write_spec(tmp_path)
    shown = []
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["plan", str(spec), *options])
        shown.append(capsys.readouterr().out)
    (line,) = [text for text in shown[0].splitlines() if text.startswith("To do: about ")]
    assert json.loads(shown[1])["clock_seconds_left"] > 0

    loaded = load_plan(spec, (), (), sources_of(None))
    speed = speed_here(loaded.plan, tmp_path / "runs", loaded.sources, measure=True)
    out = io.StringIO()
    log = PlainLog(out, estimate=Estimate(loaded.plan.by_id, speed))
    log.on_machines(Machines((this_machine(),)))
    log.on_start(len(loaded.plan.trials), 0, loaded.plan.trials)
    assert out.getvalue().strip().endswith(line.removeprefix("To do: ").rstrip("."))
    assert line.endswith(f"on {available_cores()} core{'s' if available_cores() > 1 else ''}.")
