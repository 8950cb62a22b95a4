"""What a person sees of a run."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.devices import provenance
from harness.ranking.render.text import NONE
from harness.records.folder import TrialFolder
from harness.records.result import Failure, Progress, Result
from harness.records.trial import Trial
from harness.schedule import RunSummary
from harness.schedule.dispatch.rehearsal import Machines
from harness.schedule.dispatch.slot_shapes import Node
from harness.schedule.live_view import LiveView, PlainLog, view
from harness.schedule.outlook import Outlook
from harness.schedule.tail import Tails
from tests.schedule.trials import distil, finetune, prepare


def line(step: int, at: float = 0.0) -> Progress:
    """One line of progress, of 100 steps."""
    return Progress(step=step, steps=100, loss=2.5, learning_rate=0.1, tokens_per_second=1234.0, at=at)


def ended(trial: Trial, seconds: float, failed: bool = False) -> Result:
    """How a trial ended."""
    return Result(
        trial_id=trial.id,
        kind=trial.kind,
        status="failed" if failed else "ok",
        error=Failure(reason="nan", message="step 3: loss became nan") if failed else None,
        started_at=0.0,
        finished_at=seconds,
        seconds=seconds,
        provenance=provenance.collect(device="cpu", precision="fp32", threads=1),
    )


TWO = Machines((Node("n", 2),))


def test_a_running_trial_shows_the_time_left_by_its_own_pace() -> None:
    trial = finetune("f")
    outlook = Outlook([trial], now=0.0)
    outlook.started(trial, 0.0)
    outlook.update(trial.id, line(10, at=100.0))
    assert outlook.running[trial.id].seconds_left is None
    outlook.update(trial.id, line(20, at=105.0))
    assert outlook.running[trial.id].seconds_left == 40.0


def test_counts_are_kept_by_kind() -> None:
    tasks = [finetune(f"f{n}") for n in range(4)]
    outlook = Outlook(tasks, now=0.0)
    outlook.started(tasks[0], 0.0)
    outlook.ended(ended(tasks[0], seconds=20.0))
    outlook.started(tasks[1], 10.0)
    (count,) = outlook.counts()
    assert (count.done, count.running, count.left) == (1, 1, 2)


@pytest.mark.parametrize("known_first", [True, False])
def test_the_first_line_says_how_long_the_run_takes_and_every_time_left_is_a_number(
    known_first: bool,
) -> None:
    now = [0.0]
    out = io.StringIO()
    log = PlainLog(out, every=0.0, clock=lambda: now[0])
    teacher, student = prepare(), distil("s", prepare())
    if known_first:
        log.on_machines(TWO)
    log.on_start(3, 1, [teacher, student])
    log.on_machines(TWO)
    for trial in (teacher, student):
        log.on_trial_started(trial)
        for step in (1, 2, 99):
            now[0] += 10.0
            log.on_progress(trial.id, line(step, at=now[0]))
        log.on_result(ended(trial, seconds=30.0))
    log.on_end(RunSummary(3, 2, 1, 0, 0, now[0]))
    lines = [text.partition(" ")[2] for text in out.getvalue().splitlines()]
    first = lines[0] if known_first else lines[1]
    assert re.search(r"about [\d.]+ (s|min|h) on 2 cores$", first), lines
    assert sum(" on 2 cores" in text for text in lines) == 1
    assert "3 trials, 1 done already" in lines[0]
    so_far = [text for text in lines if "time left" in text]
    assert len(so_far) == 6
    assert all(re.search(r"time left [\d.]+ (s|min|h)", text) for text in so_far)
    assert not [text for text in lines if NONE in text]
    assert log.expected is not None
    assert log.expected > 0


def test_machines_that_join_later_are_said_and_counted() -> None:
    out = io.StringIO()
    log = PlainLog(out, clock=lambda: 0.0)
    log.on_machines(TWO)
    log.on_start(8, 0, [finetune(f"f{n}") for n in range(8)])
    log.on_machines(TWO)
    log.on_machines(Machines((Node("n", 2), Node("m", 6, gpus=2))))
    first, later = out.getvalue().splitlines()
    assert first.endswith("on 2 cores")
    assert later.endswith("on 8 cores and 2 GPUs")


def test_a_tail_gives_the_last_line_there_was_and_every_later_one_once(tmp_path: Path) -> None:
    trial = finetune("f")
    folder = TrialFolder.of(tmp_path, trial.id)
    for step in (1, 2, 3):
        folder.append_progress(line(step))
    tails = Tails(tmp_path)
    tails.follow(trial.id)
    assert [progress.step for _, progress in tails.read()] == [3]
    folder.append_progress(line(4))
    with folder.progress_file.open("a") as file:
        file.write('{"step": 5, "ste')
    assert [progress.step for _, progress in tails.read()] == [4]
    with folder.progress_file.open("a") as file:
        file.write('ps": 1}\n')
    folder.append_progress(line(6))
    assert [progress.step for _, progress in tails.read()] == [6]
    assert list(tails.read()) == []


def test_without_a_terminal_starts_ends_and_now_and_then_progress_are_lines() -> None:
    now = [0.0]
    out = io.StringIO()
    log = PlainLog(out, every=30.0, clock=lambda: now[0])
    trial, other = finetune("f"), distil("s")
    log.on_start(3, 1, [trial, other])
    log.on_trial_started(trial)
    for second in range(0, 100, 10):
        now[0] = float(second)
        log.on_progress(trial.id, line(second, at=now[0]))
    now[0] = 130.0
    log.on_progress(trial.id, line(90, at=now[0]).model_copy(update={"doing": "predicts dev sw"}))
    log.on_result(ended(trial, seconds=95.0))
    log.on_trial_started(other)
    log.on_result(ended(other, seconds=1.0, failed=True))
    log.on_end(RunSummary(3, 1, 1, 1, 0, 96.0))
    text = out.getvalue()
    assert "3 trials, 1 done already; the rest: about " in text
    assert text.count("step   ") == 4
    assert f"step   {trial.id} 90/100 loss 2.5 1,234 tokens/s predicts dev sw\n" in text
    assert f"step   {trial.id} 90/100 loss 2.5 1,234 tokens/s 10.0 s left" in text
    assert f"done   {trial.id} finetune (1 min 35 s)" in text
    assert f"FAILED {other.id} distil s: nan: step 3: loss became nan" in text
    assert "ended after 1 min 36 s: 1 done, 1 done before, 1 failed" in text


def test_a_terminal_shows_counts_and_a_line_for_each_running_trial_and_is_left_clean() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, highlight=False, markup=False)
    shown = LiveView(console)
    trial, other = finetune("f"), distil("[bold]s")
    shown.on_start(2, 0, [trial, other])
    shown.on_trial_started(other)
    now = time.time()
    shown.on_progress(other.id, line(10, at=now + 1.0))
    shown.on_progress(other.id, line(20, at=now + 6.0))
    time.sleep(0.4)
    shown.on_trial_started(trial)
    time.sleep(0.4)
    shown.on_result(ended(other, 1.0, failed=True))
    shown.on_end(RunSummary(2, 0, 0, 1, 1, 1.0))
    text = out.getvalue()
    assert "distil [bold]s" in text
    assert "20/100" in text
    assert "1,234" in text
    assert "40.0 s" in text
    assert re.search(r"2 trials: about [\d.]+ (s|min|h)", text)
    assert re.search(r"time left [\d.]+ (s|min|h)", text)
    assert NONE not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")  # the cursor is back


def test_the_view_is_chosen_by_whether_it_is_written_to_a_terminal() -> None:
    assert isinstance(view(io.StringIO()), PlainLog)
