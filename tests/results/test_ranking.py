"""The ranking averages in the stated order, ranks only what is complete, and says what a row lacks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.ranking.across_tasks import across_tasks
from harness.ranking.board import Board as Results
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.settings import differing, variants
from harness.ranking.compare import differences, settings_apart
from harness.ranking.examples import differences_by_row, over_examples
from harness.ranking.pareto import answer_in_words, best_within, pareto_front
from harness.ranking.render.retention import retention_in_words
from harness.results.store import Store

from . import boards
from .boards import Board, write_store
from .ingredients import GLUE, QUICK, XNLI, TaskShape


def _results(tmp_path: Path, *many: Board) -> tuple[Store, Results]:
    store = write_store(tmp_path / "results.duckdb", *many)
    return store, read_board(store)


def _by_hand(store: Store, config: str) -> float:
    """A configuration's mean, from raw rows: metrics, languages, tasks, then students."""
    raw = store.frame(
        "SELECT t.model_key, s.task, s.language, s.metric, s.value FROM scores s JOIN trials t USING "
        "(trial_id) "
        "WHERE s.split = 'test' AND s.selected AND t.config_id = ?",
        [config],
    )
    cells = raw.groupby(["model_key", "task", "language"])["value"].mean()
    tasks = cells.groupby(["model_key", "task"]).mean()
    return float(tasks.groupby("model_key").mean().mean())


def test_means_are_those_computed_by_hand(tmp_path: Path) -> None:
    store, results = _results(
        tmp_path, Board(tasks=[*GLUE, *XNLI], methods=("od", "minilmv2"), students=("3L-192",))
    )
    table = results.ranking().table
    assert len(table) == 4
    for row in table.itertuples():
        assert row.mean == pytest.approx(_by_hand(store, row.config_id), abs=1e-12)  # type: ignore[comparison-overlap]


def test_the_teacher_is_shown_but_not_ranked_and_retention_refers_to_it(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(tasks=QUICK, methods=("od", "minilmv2"), students=("3L-192",)))
    board = results.ranking()
    assert board.references["rank"].isna().all()
    assert set(board.references["method"]) == {"prepared", "as shipped"}
    teacher = board.per_task.set_index(["config_id", "task"])["mean"]
    prepared, shipped = (
        board.references.set_index("method").loc[name, "config_id"] for name in ("prepared", "as shipped")
    )
    for row in board.ranked.to_dict("records"):
        students = board.students[board.students["config_id"] == row["config_id"]]
        for column, reference in (("retention", prepared), ("retention_of_shipped", shipped)):
            guess = students["task"].map({task.name: 1 / task.labels for task in QUICK})
            learnt = students["task"].map(teacher[reference]) - guess
            kept = (students["value"] - guess) / learnt
            assert row[column] == pytest.approx(kept.groupby(students["distil_seed"]).mean().mean())


def test_a_row_without_a_task_is_named_and_not_ranked(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(tasks=GLUE, gaps={"od": "rte"}))
    table = results.ranking().table.set_index(["method", "student"])
    assert set(table.loc["od", "missing"]) == {"rte"}
    assert table.loc["od", ["mean", "rank"]].isna().all(axis=None)
    assert table.loc["minilmv2", "rank"].notna().all()
    without = results.ranking(Filters(tasks=("cola", "sst2"))).table.set_index("method")
    assert without.loc["od", "rank"].notna().all()


def test_missing_languages_are_named(tmp_path: Path) -> None:
    few = TaskShape("xnli", "XNLI", languages=("en", "de"), labels=3)
    _, results = _results(
        tmp_path,
        Board(tasks=XNLI, methods=("od",), students=("3L-192",)),
        Board(tasks=[few], methods=("minilmv2",), students=("3L-192",), teacher="other"),
    )
    results.frames.cells["protocol"] = "the same"
    table = results.ranking().table.set_index("method")
    assert table.loc["od", "complete"]
    assert table.loc["minilmv2", "missing"].startswith("xnli (ar, bg, el, es")
    english = results.ranking(Filters(evaluation=("en",))).table.set_index("method")
    assert english.loc[["od", "minilmv2"], "complete"].all()


def test_configurations_are_never_averaged_and_what_differs_is_shown(tmp_path: Path) -> None:
    board = Board(methods=("od",), students=("3L-192",), distil_rates=(3e-4, 6e-4))
    _, results = _results(tmp_path, board)
    rows = results.ranking().ranked
    assert set(rows["variant"]) == {"learning_rate 0.0003", "learning_rate 0.0006"}
    assert (rows["n"] == 3).all()
    apart = settings_apart(results.frames.settings, rows["config_id"].tolist())
    assert apart.index.tolist() == ["learning_rate"]


def test_scores_under_other_fine_tuning_settings_are_kept_apart(tmp_path: Path) -> None:
    board = Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1])
    _, results = _results(tmp_path, board, Board(methods=("od",), students=("6L-384",), tasks=QUICK[:1]))
    models = results.frames.models
    other = results.frames.cells["model_key"].isin(models.index[models["student"] == "6L-384"])
    results.frames.cells["protocol"] = np.where(other, "b", "a")
    found = results.ranking()
    assert set(found.ranked["student"]) == {"3L-192"}
    assert found.other_protocols == {"snli": 3}
    assert set(results.ranking(Filters(protocols=("b",))).ranked["student"]) == {"6L-384"}


def test_scores_under_other_settings_are_counted_though_their_models_are_shown(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1]))
    results.frames.cells["protocol"] = "a"
    twice = replace(
        results.frames, cells=pd.concat([results.frames.cells, results.frames.cells.assign(protocol="b")])
    )
    assert Results(twice).ranking().other_protocols == {"snli": results.frames.cells["model_key"].nunique()}


def test_a_single_seed_has_no_interval_and_can_have_any_rank(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(seeds=(1,)))
    rows = results.ranking().ranked
    assert rows["low"].isna().all()
    assert (rows["best_rank"] == 1).all()
    assert (rows["worst_rank"] == len(rows)).all()


def test_filters_that_match_nothing_give_an_empty_ranking(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board())
    assert results.ranking(Filters(suite="none")).table.empty
    assert results.ranking(Filters(student=("none",))).ranked.empty


def test_every_choice_is_one_that_filters_something(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(tasks=[*GLUE, *XNLI]))
    found = results.choices()
    assert found["suite"] == ["GLUE", "XNLI"] or found["suite"] == ["XNLI", "GLUE"]
    assert found["family"] == ["OD", "HS", "MHA", "control", "teacher"]
    for suite in found["suite"]:
        assert len(results.ranking(Filters(suite=suite)).ranked) == 8


def test_measurements_serve_every_student_of_a_shape(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board())
    table = results.ranking().table
    assert table["latency_ms"].notna().all()
    assert table.groupby("student", dropna=False)["parameters"].nunique().eq(1).all()
    assert "latency_ms" not in results.measures(latency_protocol="none of these")


def test_the_family_question_is_answered_within_each_stratum_by_dev_scores(tmp_path: Path) -> None:
    _, results = _results(tmp_path, Board(noise=0.001, seeds=(1, 2, 3, 4)))
    answers = results.answers()
    assert answers[0].sentence.startswith("MHA is ahead of HS by ")
    assert "4 seeds each" in answers[0].sentence
    assert len(answers) == 6  # three families on two student shapes
    assert {answer.comparison.sentences for answer in answers} == {6}
    about = results.ranking().table.set_index("config_id")
    for answer in answers:
        students = about.loc[list(answer.comparison.configurations), "student"]
        assert students.nunique() == 1
        assert f"for {students.iloc[0]}" in answer.sentence
        assert answer.comparison.paired is not None


def test_comparisons_over_examples_are_offered_apart_from_the_verdict(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    boards.write_folders(
        runs, Board(tasks=QUICK, methods=("od", "minilmv2"), students=("3L-192",), rows=300), predictions=True
    )
    store = Store(runs / "results.duckdb")
    store.ingest()
    results = read_board(store)
    board = results.ranking()
    rows = board.ranked["config_id"].tolist()
    trials = store.frame("SELECT trial_id, model_key, task FROM trials WHERE kind = 'finetune' AND selected")
    selected = trials.assign(report="test").join(results.frames.models["row_id"], on="model_key")
    units = differences_by_row(board, rows, selected, runs)
    assert {task for _, _, task in units} == {"snli", "vader-movies"}
    found = differences(board, rows, results.frames.strata).set_index("task")
    assert set(found["test"]) == {"paired"}
    assert (found["n_a"] == 3).all()
    over = over_examples(units).set_index("task")
    for (_, _, task), values in units.items():
        assert found.loc[task, "difference"] == pytest.approx(values.mean())
        assert over.loc[task, "difference"] == pytest.approx(values.mean())
        assert over.loc[task, "examples"] == 300


def test_settings_that_are_the_same_are_not_listed() -> None:
    assert differing({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}) == {"y": {"a": 2, "b": 3}}
    assert differing({"a": {"x": 1}, "b": {}}) == {"x": {"a": 1, "b": "–"}}
    settings = {"a": {"x": 1, "y": 3}, "b": {"x": 2, "y": 4}}
    assert variants({"a": ("m",), "b": ("n",)}, settings) == {"a": "", "b": ""}
    shared = {"a": {"x": 1}, "b": {"x": 2}}
    assert variants({"a": ("m",), "b": ("n",)}, settings, shared) == {"a": "x 1", "b": "x 2"}


def _costs(**changed: object) -> pd.DataFrame:
    rows = {
        "config_id": list("abcde"),
        "mean": [0.5, 0.7, 0.6, 0.7, None],
        "std": [0.01, 0.01, 0.01, 0.01, None],
        "low": None,
        "high": None,
        "n": [3, 3, 3, 3, 0],
        "complete": [True, True, True, True, False],
        "constant": False,
        "cost": [1, 2, 3, 4, 0.5],
    }
    return pd.DataFrame(rows | changed)


def test_the_pareto_front_holds_what_nothing_cheaper_beats() -> None:
    assert pareto_front(_costs(), "cost")["config_id"].tolist() == ["a", "b"]
    lucky = _costs(complete=[True, False, True, True, False])
    assert pareto_front(lucky, "cost")["config_id"].tolist() == ["a", "c", "d"]


def test_the_best_within_a_budget_names_what_cannot_be_told_from_it() -> None:
    best = best_within(_costs(), "cost", 3)
    assert best is not None
    assert best.row["config_id"] == "b"
    assert best.ties.empty  # a and c are ten standard deviations below
    wide = best_within(_costs(std=[0.1] * 4 + [None]), "cost", 4)
    assert wide is not None
    assert wide.ties["config_id"].tolist() == ["d", "c", "a"]
    one_seed = best_within(_costs(n=[3, 1, 3, 3, 0]), "cost", 3)
    assert one_seed is not None
    assert one_seed.ties["config_id"].tolist() == ["c", "a"]
    assert best_within(_costs(), "cost", 0.1) is None


def test_a_row_that_lost_a_student_is_not_the_best_while_there_are_complete_ones() -> None:
    rows = _costs(
        complete=[True, False, True, True, False], lost=["", "1 of 4 seeds failed: nan", "", "", ""]
    )
    best = best_within(rows, "cost", 3)
    assert best is not None
    assert best.row["config_id"] == "c"
    assert best.incomplete == 1
    assert answer_in_words(best, "c", ["a"]).endswith("1 incomplete left out")


def test_retention_is_over_tasks_whose_level_of_guessing_is_known_and_blank_at_guessing(
    tmp_path: Path,
) -> None:
    store, results = _results(tmp_path, Board(tasks=GLUE, methods=("od", "minilmv2"), students=("3L-192",)))
    ranking = results.ranking()
    assert list(ranking.scope.guess.index) == ["cola", "qnli", "rte", "sst2"]
    assert retention_in_words(ranking) == (
        "Retention: (score − guessing) / (teacher − guessing), mean over tasks; the teacher is minilm-l6 as prepared. "
        "Blank at guessing on every task. Without mrpc, where the level of guessing is not known."
    )
    with duckdb.connect(store.path) as con:
        con.execute(
            "UPDATE scores SET value = coalesce(no_information, value) FROM trials "
            "WHERE trials.trial_id = scores.trial_id AND method = 'od'"
        )
    kept = read_board(Store(store.path)).ranking().table.set_index("method")["retention"]
    assert np.isnan(kept["od"])
    assert kept["minilmv2"] > 0.5


def test_what_is_no_better_than_guessing_is_named_whatever_its_retention(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    write_store(path, Board(tasks=XNLI, methods=("od", "minilmv2"), students=("3L-192",)))
    with duckdb.connect(path) as con:  # one method has learnt English and nothing else
        con.execute(
            "UPDATE scores SET value = no_information FROM trials WHERE trials.trial_id = scores.trial_id "
            "AND method = 'od' AND scores.language <> 'en'"
        )
    table = read_board(Store(path)).ranking().table.set_index("method")
    [task] = XNLI
    others = len(task.languages) - 1
    assert table.loc["od", "at_guessing"] == f"{task.name} ({others} of {others + 1} languages)"
    assert 0 < table.loc["od", "retention"] < 0.2 < table.loc["minilmv2", "retention"]
    assert not table.drop(index="od")["at_guessing"].any()


def test_configurations_are_compared_over_tasks_where_there_are_enough_of_both(tmp_path: Path) -> None:
    methods = ("scratch", "od", "hs-uniform", "minilmv2")
    _, results = _results(
        tmp_path, Board(tasks=(*GLUE, *QUICK), methods=methods, students=("3L-192",), gaps={"od": "rte"})
    )
    ranking = results.ranking()
    complete = ranking.ranked.loc[ranking.ranked["n"] > 0, "config_id"].tolist()
    across = across_tasks(ranking)
    assert across is not None
    means = ranking.per_task.pivot(index="config_id", columns="task", values="mean").loc[complete]
    ranks = means.rank(ascending=False).mean(axis=1)
    assert across.friedman.average_ranks.to_dict() == pytest.approx(ranks.to_dict())
    assert across.friedman.p == pytest.approx(stats.friedmanchisquare(*means.to_numpy()).pvalue)
    assert f"over {len(ranking.tasks)} tasks" in across.sentence
    assert across_tasks(ranking, complete[:2]) is None
    lacking = ranking.ranked.loc[ranking.ranked["n"] == 0, "config_id"].iloc[0]
    assert across_tasks(ranking, [*complete[:3], lacking]) is None
    assert across_tasks(results.ranking(Filters(tasks=ranking.tasks[:4]))) is None


def test_students_of_one_configuration_in_two_precisions_are_two_rows_and_a_fallback_is_none(
    tmp_path: Path,
) -> None:
    store, _ = _results(tmp_path, Board(methods=("od",), students=("3L-192",), seeds=(1, 2, 3, 4)))

    def rows(change: str) -> pd.DataFrame:
        with duckdb.connect(str(store.path)) as con:
            con.execute(f"UPDATE trials SET {change} WHERE kind = 'distil' AND distil_seed = 1")
        return read_board(store).ranking().ranked

    assert rows("precision = 'fp32'")["n"].tolist() == [4]
    split = rows("precision = 'fp32', flags = ['fp32_after_nan:3']")["n"]
    assert sorted(split) == [1, 3]
    apart = rows("precision = 'bf16', flags = []")
    assert sorted(apart["n"]) == [1, 3]
    assert {text.split()[-1] for text in apart["variant"]} == {"bf16", "fp32"}


def test_a_row_holds_students_of_one_precision_and_says_which(tmp_path: Path) -> None:
    """Whatever mix of precisions three seeds were trained in, a fallback from bf16 among them, milestones too."""
    store, _ = _results(
        tmp_path,
        Board(methods=("od",), students=("3L-192",), tasks=QUICK[:1], milestones=(500,), measured=False),
    )
    resolved = {"fp32": ("fp32", []), "bf16": ("bf16", []), "fell back": ("fp32", ["fp32_after_nan:3"])}
    for mix in itertools.combinations_with_replacement(resolved, 3):
        with duckdb.connect(str(store.path)) as con:
            for seed, name in enumerate(mix, 1):
                con.execute(
                    "UPDATE trials SET precision = ?, flags = ? WHERE distil_seed = ? AND kind = 'distil'",
                    [*resolved[name], seed],
                )
        began = {seed: "fp32" if name == "fp32" else "bf16" for seed, name in enumerate(mix, 1)}
        results = read_board(store)
        rows = results.ranking(Filters(milestones=True)).students
        rows = rows[rows["role"] == "student"]
        assert rows["distil_seed"].value_counts().to_dict() == {1: 2, 2: 2, 3: 2}, mix
        began_in = rows["distil_seed"].map(began)
        assert set(began_in.groupby(rows["config_id"]).nunique()) == {1}
        said = results.ranking().ranked["variant"]
        several = len(set(began.values())) > 1
        assert [any(one in text for one in ("bf16", "fp32")) for text in said] == [several] * len(said), mix


@pytest.mark.parametrize("kind", ["distil", "finetune"])
def test_scores_of_different_code_of_a_plugin_carry_a_flag(tmp_path: Path, kind: str) -> None:
    store, _ = _results(tmp_path, Board(methods=("od", "minilmv2"), students=("3L-192",), tasks=QUICK[:1]))

    def flags(*codes: str) -> dict[str, str]:
        with duckdb.connect(str(store.path)) as con:
            for seed, code in enumerate(codes, 1):
                origin = f'{{"plugins": {{"term mine": "package 0.1.0, code {code}"}}}}'
                con.execute(
                    "UPDATE trials SET provenance = json_merge_patch(provenance, ?) "
                    "WHERE kind = ? AND method = 'od' AND distil_seed = ?",
                    [origin, kind, seed],
                )
        return read_board(store).ranking().ranked.set_index("method")["flags"].to_dict()

    assert flags("a", "a", "a")["od"] == ""
    edited = flags("a", "a", "b")
    assert edited["od"] == "plugin_code_differs"
    assert edited["minilmv2"] == ("" if kind == "distil" else "plugin_code_differs")  # one protocol for both


def test_the_latest_of_two_protocols_that_are_as_widely_used_is_shown(tmp_path: Path) -> None:
    store, _ = _results(tmp_path, Board(methods=("od",), students=("3L-192",), seeds=(1,), tasks=QUICK[:1]))
    for later in ("a", "b"):
        with duckdb.connect(str(store.path)) as con:
            con.execute(
                "DELETE FROM trials WHERE trial_id LIKE 'copy%'; DELETE FROM scores WHERE trial_id LIKE 'copy%'"
            )
            con.execute("UPDATE trials SET protocol = 'a' WHERE kind = 'finetune'")
            for table in ("trials", "scores"):
                con.execute(
                    f"INSERT INTO {table} SELECT * REPLACE ('copy' || trial_id AS trial_id) FROM {table} "
                    "WHERE trial_id IN (SELECT trial_id FROM trials WHERE kind = 'finetune')"
                )
            con.execute("UPDATE trials SET protocol = 'b' WHERE trial_id LIKE 'copy%'")
            con.execute("UPDATE trials SET finished_at = CASE WHEN protocol = ? THEN 2 ELSE 1 END", [later])
        assert set(read_board(store).ranking().cells["protocol"]) == {later}
