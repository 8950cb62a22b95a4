"""On whatever board: no sentence says "ahead" without a corrected interval that excludes 0 within one stratum, and
every sentence names its n.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from harness.ranking.board import Board as Results
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.unscored import unscored_in_words
from harness.ranking.compare import differences, verdict
from harness.ranking.pareto import answer_in_words, best_within
from harness.ranking.render.text import notes
from harness.ranking.render.trials import render_trial
from harness.results.store import Store

from .boards import Board, entries, write_store
from .ingredients import GLUE, QUICK

SMALL = {"methods": ("scratch", "od", "hs-uniform", "minilmv2"), "students": ("3L-192",), "tasks": QUICK}


def _board(**changed: object) -> Board:
    return Board(**{**SMALL, **changed})  # type: ignore[arg-type]


ODD: dict[str, tuple[Board, ...]] = {
    "plain": (_board(noise=0.001),),
    "one seed": (_board(seeds=(1,)),),
    "two seeds": (_board(seeds=(1, 2)),),
    "seeds not in common": (
        _board(methods=("od", "hs-uniform"), seeds=(1, 2, 3)),
        _board(methods=("minilmv2",), seeds=(4, 5, 6)),
    ),
    "failed seeds": (_board(fail={"minilmv2": "nan", "od": "nan"}),),
    "all seeds failed": (
        _board(),
        _board(methods=("tinybert",), seeds=(1,), fail={"tinybert": "nan"}),
    ),
    "under way": (_board(running=("minilmv2", "hs-uniform")),),
    "other steps": (_board(noise=0.001), _board(steps=200_000, methods=("minilmv2", "hs-emd"))),
    "no setting in common": (
        _board(methods=("od",)),
        _board(methods=("minilmv2",), steps=200_000, noise=0.001),
    ),
    "other teachers": (
        _board(methods=("od", "hs-uniform")),
        _board(methods=("minilmv2", "od"), teacher="large"),
    ),
    "prepared or not": (_board(methods=("od", "hs-uniform")), _board(methods=("minilmv2",), prepared=False)),
    "other corpora": (_board(), _board(languages=("en", "de"))),
    "two shapes": (_board(students=("3L-192", "6L-384")),),
    "one family": (_board(methods=("minilmv2", "direct-minilm")),),
    "controls only": (_board(methods=("scratch",)),),
    "all equal": (_board(methods=("od", "hs-last", "hs-uniform", "hs-emd", "minilmv2"), equal=True),),
    "undefined metric": (_board(undefined={"minilmv2": "snli"}, noise=0.001),),
    "gaps": (_board(tasks=GLUE, gaps={"od": "rte"}),),
    "single task": (_board(tasks=QUICK[:1], noise=0.001),),
    "milestones": (_board(milestones=(500,)),),
    "several settings": (_board(distil_rates=(3e-4, 6e-4), noise=0.001),),
}
FILTERS = (Filters(), Filters(milestones=True), Filters(pooled=True), Filters(student=("3L-192",)))
N = re.compile(r"\bn = \d|\b\d+ seeds?\b|\b\d+ and \d+ seeds of ")


@pytest.fixture(scope="module", params=ODD)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_board(write_store(tmp_path_factory.mktemp("odd") / "results.duckdb", *ODD[request.param]))


def test_families_are_ahead_only_by_an_interval_within_one_stratum(results: Results) -> None:
    for filters in FILTERS:
        ranking = results.ranking(filters)
        about = ranking.table.set_index("config_id")
        for answer in results.answers(filters):
            found = answer.comparison
            assert N.search(answer.sentence), answer.sentence
            assert (" is ahead of " in answer.sentence) == (found.low > 0 or found.high < 0), answer.sentence
            if found.configurations != ("", ""):
                rows = about.loc[list(found.configurations)]
                assert rows["complete"].all()
                assert rows["stratum"].nunique() == 1
                assert (
                    results.frames.settings[rows.index[0]]["steps"]
                    == results.frames.settings[rows.index[1]]["steps"]
                )
                assert rows[["teacher", "language", "student"]].nunique().eq(1).all()


def test_a_sentence_names_what_sets_its_setting_apart(results: Results) -> None:
    answers = [answer for answer in results.answers() if answer.stratum]
    settings = {answer.stratum: answer.setting for answer in answers}
    assert len(set(settings.values())) == len(settings)
    for answer in answers:
        assert answer.setting in answer.sentence
    if len(settings) > 1:
        assert all(settings.values())


def _verdicts(results: Results, filters: Filters) -> Iterator[tuple[str, object]]:
    ranking = results.ranking(filters)
    rows = ranking.table["config_id"].head(4).tolist()
    found = differences(ranking, rows, results.frames.strata)
    for a, b in itertools.combinations(rows, 2):
        mine = found[(found["a"] == a) & (found["b"] == b)]
        yield verdict(mine, a, b), mine
        both = verdict(differences(ranking, [a, b], results.frames.strata), a, b)
        yield both, differences(ranking, [a, b], results.frames.strata)


def test_rows_are_ahead_only_by_an_interval_within_one_stratum(results: Results) -> None:
    strata, about = results.frames.strata, results.ranking().table.set_index("config_id")
    for sentence, mine in _verdicts(results, Filters()):
        first = mine.iloc[-1]  # the mean over tasks, or the only task
        assert N.search(sentence), sentence
        if first["n_a"] == first["n_b"] == 1:
            assert "these two trained students differ; another seed may reverse it" in sentence
            assert not mine["separable"].any()
        if " is ahead of " not in sentence:
            continue
        assert first["low"] > 0 or first["high"] < 0
        assert min(first["n_a"], first["n_b"]) > 1
        assert strata.loc[first["a"], "stratum"] == strata.loc[first["b"], "stratum"]
        assert about.loc[[first["a"], first["b"]], "complete"].all()


def test_incomplete_rows_come_after_complete_ones_and_say_why(results: Results) -> None:
    ranked = results.ranking().ranked
    complete = ranked["complete"].astype(bool).tolist()
    assert complete == sorted(complete, reverse=True)
    for row in ranked[~ranked["complete"].astype(bool)].to_dict("records"):
        assert row["lost"] or row["missing"]
        if row["n"]:
            assert row["worst_rank"] == ranked["rank"].notna().sum()


def test_the_best_within_a_budget_names_its_n(results: Results) -> None:
    rows = results.ranking().ranked
    best = best_within(rows, "parameters", float("inf"))
    assert best is not None
    assert N.search(answer_in_words(best, "it", best.ties["config_id"].tolist()))
    assert bool(best.row["complete"]) == bool(rows.loc[rows["mean"].notna(), "complete"].any())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("failed seeds", "1 of 3 seeds failed: nan"),
        ("all seeds failed", "1 of 1 seed failed: nan"),
        ("under way", "1 of 3 seeds not done"),
    ],
)
def test_lost_seeds_are_named_on_their_row(tmp_path: Path, name: str, words: str) -> None:
    ranked = read_board(write_store(tmp_path / "results.duckdb", *ODD[name])).ranking().ranked
    assert words in set(ranked["lost"])


def test_a_student_of_which_a_fine_tuning_seed_failed_is_incomplete(tmp_path: Path) -> None:
    board = _board(methods=("od", "minilmv2"), finetune_seeds=(0, 1), tasks=QUICK[:1])
    store = write_store(tmp_path / "results.duckdb", board)
    with duckdb.connect(str(store.path)) as con:
        con.execute(
            "UPDATE trials SET status = 'failed', error = 'nan' WHERE kind = 'finetune' AND method = 'minilmv2' "
            "AND distil_seed = 1 AND finetune_seed = 1"
        )
    rows = read_board(store).ranking().ranked.set_index("method")
    assert rows["complete"].to_dict() == {"od": True, "minilmv2": False}
    assert rows.loc["minilmv2", "n"] == 2
    assert rows.loc["minilmv2", "lost"] == "1 of 3 seeds failed: nan (snli)"
    assert rows.loc["minilmv2", "worst_rank"] == 2


def test_a_setting_whose_seed_failed_is_not_the_chosen_one_and_leaves_no_gap(tmp_path: Path) -> None:
    board = _board(methods=("od",), finetune_seeds=(0, 1), learning_rates=(3e-5, 9e-5), tasks=QUICK[:1])
    store = write_store(tmp_path / "results.duckdb", board)
    with duckdb.connect(str(store.path)) as con:
        con.execute(
            "UPDATE trials SET status = 'failed', error = 'nan' WHERE kind = 'finetune' AND NOT selected "
            "AND method = 'od' AND finetune_seed = 1"
        )
    rows = read_board(store).ranking().ranked
    assert rows["complete"].all()
    assert set(rows["lost"]) == {""}


@pytest.mark.parametrize("role", ["student", "prepared", "shipped"])
@pytest.mark.parametrize("state", ["failed", "planned", "running"])
def test_a_fine_tuning_seed_without_a_score_is_named_on_the_row_of_its_model(
    tmp_path: Path, role: str, state: str
) -> None:
    store = write_store(
        tmp_path / "results.duckdb", _board(methods=("od",), finetune_seeds=(0, 1), tasks=QUICK[:1])
    )
    whole = read_board(store).ranking().table.set_index("role")["mean"]
    with duckdb.connect(str(store.path)) as con:
        con.execute(
            "UPDATE trials SET status = $state, error = CASE $state WHEN 'failed' THEN 'nan' END, selected = NULL, "
            "protocol = CASE $state WHEN 'failed' THEN protocol ELSE 'unknown' END "
            "WHERE kind = 'finetune' AND role = $role AND coalesce(distil_seed, 1) = 1 AND finetune_seed = 1",
            {"state": state, "role": role},
        )
    results = read_board(Store(store.path))
    rows = results.ranking().table.set_index("role")
    seeds = "3 seeds" if role == "student" else "1 seed"
    assert rows["lost"].to_dict() == dict.fromkeys(rows.index, "") | {
        role: f"1 of {seeds} failed: nan (snli)" if state == "failed" else f"1 of {seeds} not done"
    }
    assert rows.loc[role, "complete"] == (state != "failed")
    others = rows.index != role
    assert rows["mean"][others].equals(whole[rows.index][others])
    if role == "prepared" and state == "failed":  # a teacher's lucky seeds are no measure either
        assert rows["retention"].isna().all()
    assert unscored_in_words(results.frames.evaluations, None).startswith("1 of ")


def test_what_waits_for_a_teacher_that_was_not_prepared_is_blocked(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.duckdb")
    everything = [trial for trial, _, _ in entries(_board())]
    store.plan(everything)
    with duckdb.connect(str(store.path)) as con:
        con.execute("UPDATE trials SET status = 'failed', error = 'nan' WHERE kind = 'prepare'")
        [(shipped,)] = con.execute(
            "SELECT count(*) FROM trials WHERE kind = 'finetune' AND role = 'shipped'"
        ).fetchall()
    evaluations = sum(trial.kind == "finetune" for trial in everything)
    words = unscored_in_words(read_board(Store(store.path)).frames.evaluations, None)
    assert words == (
        f"{evaluations} of {evaluations} fine-tuning trials have no score: {shipped} planned, "
        f"{evaluations - shipped} blocked"
    )


@pytest.mark.parametrize("lacking", [(), (20, 480, 520), tuple(range(1000, 2000, 20))])
def test_a_trial_shows_what_share_of_its_steps_was_clipped(tmp_path: Path, lacking: tuple[int, ...]) -> None:
    store = write_store(tmp_path / "results.duckdb", _board(methods=("od",), tasks=QUICK[:1]))
    with duckdb.connect(str(store.path)) as con:
        trial, bare = (
            row[0] for row in con.execute("SELECT DISTINCT trial_id FROM progress LIMIT 2").fetchall()
        )
        con.execute(
            "UPDATE progress SET clipped = CASE WHEN step <= 500 THEN 1 ELSE 0 END WHERE trial_id = ?",
            [trial],
        )
        con.execute("DELETE FROM progress WHERE list_contains(?, step)", [list(lacking)])
        [(steps,)] = con.execute("SELECT max(step) FROM progress WHERE trial_id = ?", [trial]).fetchall()
    shown = {}
    for one in (trial, bare):
        said = io.StringIO()
        Console(file=said, width=200).print(render_trial(store, one))
        shown[one] = said.getvalue()
    assert re.search(rf"clipped steps +{50_000 / steps:.1f} %", shown[trial])
    assert "clipped" not in shown[bare]


def test_the_masked_accuracy_of_students_and_teacher_stands_on_the_row(tmp_path: Path) -> None:
    store = write_store(tmp_path / "results.duckdb", _board(methods=("od", "minilmv2"), tasks=QUICK[:1]))
    with duckdb.connect(str(store.path)) as con:
        for metric, factor in (("masked_accuracy", 0.1), ("teacher_masked_accuracy", 0.2)):
            con.execute(
                "INSERT INTO measurements (trial_id, model_key, metric, value, protocol, valid) "
                "SELECT trial_id, model_key, $metric, $factor * distil_seed, 'counted', true FROM trials "
                "WHERE kind = 'distil' AND method = 'od'",
                {"metric": metric, "factor": factor},
            )
    rows = read_board(Store(store.path)).ranking().ranked.set_index("method")
    assert notes(rows.loc["od"].to_dict()) == "masked accuracy 20.0 %, its teacher's 40.0 %"  # seeds 1, 2, 3
    assert "masked" not in notes(rows.loc["minilmv2"].to_dict())


def test_settings_that_differ_between_methods_are_on_the_rows(tmp_path: Path) -> None:
    ranked = (
        read_board(write_store(tmp_path / "results.duckdb", *ODD["no setting in common"])).ranking().ranked
    )
    shown = ranked.set_index("method")["variant"]
    assert "steps 2000" in shown["od"]
    assert "steps 200000" in shown["minilmv2"]
    assert ranked.set_index("method")["tokens"].to_dict() == {"od": 8_192_000, "minilmv2": 819_200_000}


def test_unscored_trials_of_a_plan_are_counted_by_why(tmp_path: Path) -> None:
    store = write_store(tmp_path / "results.duckdb", *ODD["failed seeds"])
    everything = [trial for trial, _, _ in entries(_board())]
    store.plan(everything)  # those that failed students would have led to
    with duckdb.connect(str(store.path)) as con:
        [(planned,)] = con.execute("SELECT count(*) FROM trials WHERE status = 'planned'").fetchall()
    assert planned == 2 * len(QUICK)  # two methods lost a student each
    results = read_board(Store(store.path))
    total = results.frames.evaluations["trials"].sum()
    words = unscored_in_words(results.frames.evaluations, None)
    assert words == f"{planned} of {total} fine-tuning trials have no score: {planned} blocked"
    lost = results.ranking().ranked.set_index("method")["lost"]
    assert lost["minilmv2"] == "1 of 3 seeds failed: nan"


def test_a_clear_board_has_a_lead_to_tell(tmp_path: Path) -> None:
    results = read_board(write_store(tmp_path / "results.duckdb", *ODD["plain"]))
    assert any(" is ahead of " in answer.sentence for answer in results.answers())
    assert any(" is ahead of " in sentence for sentence, _ in _verdicts(results, Filters()))
