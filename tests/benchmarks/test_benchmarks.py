"""The benchmarks themselves: that they run, say what they are, and judge by what was measured."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.quickstart import printed_estimate, statements
from benchmarks.rows import Row, table
from benchmarks.timing import Timing, faster
from harness.schedule.dispatch.rehearsal import Machines
from harness.schedule.dispatch.slot_shapes import Node
from harness.schedule.live_view import PlainLog
from tests.schedule.trials import finetune

ROOT = Path(__file__).parents[2]


def test_a_smoke_test_of_one_subject_leaves_a_table_and_the_figures_behind_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--threads", "1", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, "teacher_pass"], cwd=ROOT, env=environment, check=True)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "smoke test" in text
    assert "share of the bf16 matmul peak" in text
    kept = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert set(kept["subjects"]) == {"teacher_pass"}
    assert kept["failed"] == []


@pytest.mark.parametrize(
    ("reached", "sense", "met"), [(3.0, "at least", True), (1.0, "at least", False), (1.0, "at most", True)]
)
def test_a_target_is_met_by_what_was_reached(reached: float, sense: str, met: bool) -> None:
    assert Row("x", reached, target=2.0, sense=sense).met is met  # type: ignore[arg-type]


def test_a_figure_without_target_is_neither_met_nor_missed() -> None:
    row = Row("x", 1.5)
    assert row.met is None
    assert "| x | – | 1.50 × | – |" in table([row])


def test_a_ratio_is_that_of_the_medians() -> None:
    timings = {"ours": Timing([1.0, 2.0, 9.0]), "theirs": Timing([6.0, 5.0, 7.0])}
    row = faster("x", "ours", "theirs", timings, 2.5)
    assert row.reached == 3.0
    assert row.sides == {"ours": 2000.0, "theirs": 6000.0}


def test_the_estimate_is_read_as_a_run_prints_it() -> None:
    trials = [finetune(f"f{number}") for number in range(200)]
    for cores in (1, 2, 16):
        out = io.StringIO()
        log = PlainLog(out)
        log.on_machines(Machines((Node("n", cores),)))
        log.on_start(len(trials), 0, trials)
        assert log.expected is not None
        assert printed_estimate(out.getvalue()) == pytest.approx(log.expected, rel=0.03)


def test_the_statements_of_a_report_are_its_sentences() -> None:
    said = [
        f"{family} and OD cannot be told apart on SNLI for 2l-96: 2 seeds each." for family in ("MHA", "HS")
    ]
    rows = "rank  family  method\n   1  MHA     minilmv2\n\nmean: points over the tasks.\n"
    assert statements("SNLI\n" + "\n".join(said) + "\n" + rows) == said
