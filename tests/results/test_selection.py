"""Fine-tuning settings are chosen by dev scores averaged over seeds, and by nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.results.selection import choose_settings, selected_trials

from .boards import Board, write_store


def _trials(rows: list[tuple[float, int, int, float | None]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["learning_rate", "epochs", "finetune_seed", "dev_value"])
    frame["trial_id"] = [f"{index:016x}" for index in range(len(frame))]
    return frame.assign(encoder_key="m", suite="GLUE", task="rte", protocol="p")


def test_the_best_mean_over_seeds_wins_not_the_best_single_run() -> None:
    trials = _trials([(1e-5, 3, 0, 0.70), (1e-5, 3, 1, 0.70), (2e-5, 3, 0, 0.90), (2e-5, 3, 1, 0.40)])
    chosen = choose_settings(trials).iloc[0]
    assert (chosen["learning_rate"], chosen["dev_value"], chosen["seeds"], chosen["settings"]) == (
        1e-5,
        0.70,
        2,
        2,
    )
    assert selected_trials(trials) == trials["trial_id"].tolist()[:2]


def test_a_setting_whose_bad_seed_failed_gains_nothing_by_it() -> None:
    trials = _trials([(1e-5, 3, 0, 0.70), (1e-5, 3, 1, 0.60), (2e-5, 3, 0, 0.90)])
    assert choose_settings(trials)["learning_rate"].tolist() == [1e-5]


def test_ties_go_to_the_lower_rate_then_to_fewer_epochs() -> None:
    trials = _trials([(2e-5, 3, 0, 0.7), (1e-5, 5, 0, 0.7), (1e-5, 3, 0, 0.7)])
    assert choose_settings(trials)[["learning_rate", "epochs"]].to_numpy().tolist() == [[1e-5, 3]]


def test_an_undefined_dev_score_loses_to_any_number() -> None:
    assert choose_settings(_trials([(1e-5, 3, 0, None), (2e-5, 3, 0, -0.9)]))["learning_rate"].tolist() == [
        2e-5
    ]
    assert selected_trials(_trials([(1e-5, 3, 0, None)])) == ["0" * 16]


def test_models_tasks_and_protocols_choose_for_themselves() -> None:
    one = _trials([(1e-5, 3, 0, 0.7), (2e-5, 3, 0, 0.8)])
    other = _trials([(1e-5, 3, 0, 0.9), (2e-5, 3, 0, 0.8)])
    for column in ("encoder_key", "suite", "task", "protocol"):
        both = pd.concat([one, other.assign(**{column: "another"})])
        assert set(choose_settings(both)["learning_rate"]) == {1e-5, 2e-5}


def test_only_the_chosen_settings_reported_score_is_read(tmp_path) -> None:
    store = write_store(
        tmp_path / "r.duckdb", Board(methods=("od",), students=("3L-192",), learning_rates=(1e-5, 2e-5, 3e-5))
    )
    cells = store.frame("SELECT model_key, task, value FROM cells")
    assert len(cells)
    assert not cells.duplicated(["model_key", "task"]).any()
    for row in cells.itertuples():
        best = store.frame(
            "SELECT s.value FROM scores s JOIN trials t USING (trial_id) WHERE t.model_key = ? AND "
            "t.task = ? AND s.split = 'test' "
            "ORDER BY t.dev_value DESC, t.learning_rate LIMIT 1",
            [row.model_key, row.task],
        )["value"]
        assert best.tolist() == [row.value]


def test_fine_tuning_seeds_are_averaged_inside_a_student_so_that_they_count_as_one(tmp_path) -> None:
    store = write_store(
        tmp_path / "r.duckdb", Board(methods=("od",), students=("3L-192",), finetune_seeds=(0, 1, 2))
    )
    cells = store.frame("SELECT model_key, task, language, value, runs FROM cells")
    assert len(cells)
    assert not cells.duplicated(["model_key", "task", "language"]).any()
    for row in cells.itertuples():
        runs = store.frame(
            "SELECT s.value FROM scores s JOIN trials t USING (trial_id) WHERE t.model_key = ? AND "
            "t.task = ? AND s.language = ? AND s.reported",
            [row.model_key, row.task, row.language],
        )["value"]
        assert row.runs == len(runs) == 3
        assert row.value == pytest.approx(runs.mean())
