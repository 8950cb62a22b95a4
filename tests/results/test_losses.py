"""The table of own losses says what the trials' results say, of students that were distilled for it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.base import digest
from harness.cli import main
from harness.ranking.losses import own_losses
from harness.ranking.render.loss_table import render_losses
from harness.ranking.render.text import significant
from harness.records.folder import TrialFolder
from harness.records.result import Result
from harness.results.store import Store
from harness.trials.run import run_trials
from tests.trials.test_distil import with_heads
from tests.trials.world import distil_trial, make_world, method

SEEDS = (1, 2)


Run = tuple[Store, dict[str, list[Result]]]
"""The database, and the results by method."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two methods of two seeds and a control, and a third whose one step is so long that its loss rises."""
    world = make_world(tmp_path_factory.mktemp("losses"))
    place = world.site()
    results = {
        name: run_trials([distil_trial(world, one, seed=seed) for seed in SEEDS], place)
        for name, one in {
            "od": method("od"),
            "minilmv2": with_heads("minilmv2", 8),
            "scratch": method("scratch"),
            "od-mlm": method("od-mlm"),
        }.items()
    }
    results["hs-last"] = run_trials(
        [distil_trial(world, "hs-last", steps=1, warmup_steps=0, learning_rate=1.0)], place
    )
    for name, found in results.items():
        for result in found:
            folder = TrialFolder.of(place.runs_dir, result.trial_id)
            trial = folder.read_trial()
            assert trial is not None
            folder.write_trial(trial.model_copy(update={"config_id": digest(name)}))
    store = Store(place.runs_dir / "results.duckdb")
    store.ingest(place.runs_dir)
    return store, results


def test_a_row_holds_the_mean_over_seeds_of_what_each_trial_recorded(
    run: Run,
) -> None:
    store, results = run
    table = own_losses(store).set_index("method")
    for name in ("od", "minilmv2"):
        for when in ("before", "after"):
            recorded = [result.facts[f"held_out_{when}"]["loss"] for result in results[name]]
            assert table.loc[name, when] == pytest.approx(sum(recorded) / len(SEEDS))
        assert table.loc[name, "ratio"] == pytest.approx(table.loc[name, "after"] / table.loc[name, "before"])
        assert (table.loc[name, "seeds"], table.loc[name, "lowered"], table.loc[name, "steps"]) == (2, 2, 20)


def test_a_method_without_an_objective_has_no_row(run: Run) -> None:
    assert list(own_losses(run[0])["method"]) == ["od", "od-mlm", "hs-last", "minilmv2"]


def test_a_loss_that_rose_is_shown_as_such(run: Run) -> None:
    store, _ = run
    row = own_losses(store).set_index("method").loc["hs-last"]
    assert row["ratio"] > 1
    assert row["lowered"] == 0
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_losses(store))
    lines = {line.split()[1]: line for line in console.export_text().splitlines() if len(line.split()) > 5}
    assert lines["hs-last"].endswith("0 of 1")
    assert lines["od"].endswith("2 of 2")


def test_the_command_prints_the_table_and_the_same_rows_as_json(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    store, _ = run
    printed = {}
    for option in ("--losses", "--json"):
        with pytest.raises(SystemExit) as left:
            main(["report", "--losses", option, "--db", str(store.path)])
        assert not left.value.code
        printed[option] = capsys.readouterr().out
    rows = json.loads(printed["--json"])
    assert [row["method"] for row in rows] == list(own_losses(store)["method"])
    assert all(row["method"] in printed["--losses"] for row in rows)


def test_a_method_of_several_terms_shows_what_each_contributes(run: Run) -> None:
    store, results = run
    table = own_losses(store).set_index("method")
    assert all(not table.loc[name, "terms"] for name in ("od", "hs-last", "minilmv2"))
    points = [point for result in results["od-mlm"] for point in result.facts["term_shares"]]
    shown = {part["term"]: part for part in table.loc["od-mlm", "terms"]}
    assert shown.keys() == {"logits", "mlm"}
    for term, part in shown.items():
        assert part["loss"] == pytest.approx(sum(point["loss"][term] for point in points) / len(points))
        assert part["gradient"] == pytest.approx(
            sum(point["gradient"][term] for point in points) / len(points)
        )
        assert part["most"] == max(point["gradient"][term] for point in points)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_losses(store))
    assert f"{shown['mlm']['gradient']:.1%}" in console.export_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.012345, "0.0123"), (1.0, "1.00"), (100.4, "100"), (999.7, "1,000"), (12345.6, "12,346"), (None, "–")],
)
def test_three_digits_count(value: float | None, shown: str) -> None:
    assert significant(value) == shown


def test_an_empty_database_says_so(tmp_path: Path) -> None:
    empty = Store(tmp_path / "results.duckdb")
    empty.plan([])
    assert own_losses(empty).empty
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_losses(empty))
    assert "Nothing has been distilled" in console.export_text()
