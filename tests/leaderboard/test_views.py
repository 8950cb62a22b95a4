"""Every page makes something useful of every database, and what it says is what the results say."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from results.boards import Board, write_store
from results.ingredients import XNLI
from streamlit.testing.v1 import AppTest

from harness.ranking.across_tasks import across_tasks
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.glance.leader import compared_in_words, leader_sentence
from harness.ranking.glance.not_shown import not_shown
from harness.ranking.glance.reuse import best_by_dev, students_of
from harness.ranking.milestones import quality_over_tokens
from harness.ranking.statistics.guessing import AT_GUESSING
from harness.results.shipped_board import days_and_commits
from harness.results.store import Store
from leaderboard.wording import FAMILY_TOOLTIPS, group_letters, row_labels

SHAPES = (
    "missing",
    "empty",
    "damaged",
    "planned",
    "single-row",
    "single-seed",
    "one-language",
    "partly-failed",
    "full",
)
PAGES = (
    "ranking",
    "tasks",
    "languages",
    "mappings",
    "why",
    "tradeoff",
    "compare",
    "published",
    "runs",
    "trial",
)


def _run(
    page: str, path: Path, monkeypatch: pytest.MonkeyPatch, query: dict[str, str | list[str]] | None = None
) -> AppTest:
    monkeypatch.setenv("HARNESS_DB", str(path))
    script = f"from leaderboard.views import {page}\n{page}.page()\n"
    app = AppTest.from_string(script, default_timeout=60)
    for key, value in (query or {}).items():
        app.query_params[key] = value
    return app.run()


@pytest.mark.some(3)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_something_and_no_error(
    page: str, shape: str, databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run(page, databases[shape], monkeypatch)
    assert [str(error.message) for error in app.exception] == []
    assert len(app.title) == 1
    said = [*app.info, *app.warning, *app.markdown, *app.dataframe, *app.metric, *app.subheader]
    assert said


@pytest.mark.parametrize(
    ("shape", "says"), [("missing", "no results here yet"), ("empty", "database is empty")]
)
def test_without_results_the_page_says_what_to_do(
    shape: str, says: str, databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("harness.results.shipped_board.PLACE", tmp_path)  # a version without a board
    app = _run("ranking", databases[shape], monkeypatch)
    assert says in app.info[0].value
    assert "harness run" in app.code[0].value


def test_a_damaged_database_names_the_way_out(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run("ranking", databases["damaged"], monkeypatch)
    assert "harness ingest" in app.warning[0].value


def _ranked(app: AppTest) -> pd.DataFrame:
    """The table of the ranking, below that of the pairs of families."""
    [table] = [frame.value for frame in app.dataframe if "method" in frame.value]
    return table


def test_the_table_is_the_ranking_and_filters_narrow_it(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = read_board(Store(databases["full"]))
    app = _run("ranking", databases["full"], monkeypatch, {"suite": "GLUE", "student": "3L-192"})
    chosen = Filters(suite="GLUE", student=("3L-192",), one_setting=True)
    expected = board.ranking(chosen)
    shown = _ranked(app)
    assert shown["method"].tolist() == expected.table["method"].tolist()
    assert shown["mean"].tolist() == pytest.approx((100 * expected.table["mean"]).tolist(), nan_ok=True)
    app.multiselect(key="family").select("HS").run()
    only = replace(chosen, family=("HS",))
    assert _ranked(app)["method"].tolist() == board.ranking(only).table["method"].tolist()
    assert board.answers(only) == []
    app.toggle(key="settings").set_value(True).run()
    every = board.ranking(replace(only, one_setting=False)).table
    assert len(every) > len(board.ranking(only).table)
    assert _ranked(app)["method"].tolist() == every["method"].tolist()


def _said(app: AppTest) -> str:
    """What the page says as HTML, without its tags."""
    return re.sub(r"<[^>]+>", "", " ".join(one.proto.body for one in app.get("html")))


def test_the_first_screen_compares_answers_and_lists_a_column_a_task_before_it_draws(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run("ranking", databases["full"], monkeypatch, {"suite": "GLUE"})
    ranking = read_board(Store(databases["full"])).ranking(Filters(suite="GLUE", one_setting=True))
    said = _said(app)
    assert compared_in_words(ranking, "GLUE") in said
    labels = {str(row): str(name) for row, name in row_labels(ranking.table).items()}
    leader = leader_sentence(ranking, labels).replace("**", "")
    assert html.escape(leader) in said
    body = " ".join(one.proto.body for one in app.get("html"))
    assert all(f'title="{html.escape(words)}"' in body for words in FAMILY_TOOLTIPS.values())
    assert set(ranking.tasks) == {str(name)[5:] for name in _ranked(app) if str(name).startswith("task:")}
    kinds = [one.type for one in app.main]
    assert kinds.index("dataframe") < kinds.index("vega_lite_chart")
    first = students_of(ranking, ranking.table["config_id"].iloc[0])
    assert f"--model {best_by_dev(first)['model_key']}" in app.code[0].value
    assert f"Trials of {row_labels(ranking.table).iloc[0]}" in " ".join(one.value for one in app.markdown)


def test_an_unknown_value_in_the_address_is_ignored(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run(
        "ranking",
        databases["full"],
        monkeypatch,
        {"suite": "<script>", "student": "nothing", "pooled": "perhaps"},
    )
    assert not app.exception
    assert app.segmented_control(key="suite").value in ("GLUE", "XNLI")


def test_rows_named_in_the_address_are_compared(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking = read_board(Store(databases["full"])).ranking(Filters(suite="GLUE"))
    rows = ranking.ranked["config_id"].head(2).tolist()
    app = _run("compare", databases["full"], monkeypatch, {"suite": "GLUE", "rows": rows})
    assert app.multiselect(key="rows").value == rows
    assert "comparisons over distilled students; all intervals hold at once" in app.caption[0].value
    assert len(app.dataframe[0].value) == len(ranking.tasks) + 1


def test_three_configurations_are_compared_over_the_tasks(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ranking = read_board(Store(databases["full"])).ranking(Filters(suite="GLUE"))
    rows = ranking.ranked["config_id"].head(3).tolist()
    app = _run("compare", databases["full"], monkeypatch, {"suite": "GLUE", "rows": rows})
    assert app.subheader[0].value == "Over tasks"
    across = across_tasks(ranking, rows)
    assert across is not None
    assert app.markdown[0].value == across.sentence
    assert len(app.dataframe[0].value) == 3
    two = _run("compare", databases["full"], monkeypatch, {"suite": "GLUE", "rows": rows[:2]})
    assert "Over tasks" not in [heading.value for heading in two.subheader]


def test_the_trial_page_tells_why_a_trial_failed(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Store(databases["partly-failed"]).frame(
        "SELECT trial_id FROM trials WHERE status = 'failed' ORDER BY title DESC"
    )
    app = _run("trial", databases["partly-failed"], monkeypatch, {"trial": failed["trial_id"].iloc[0]})
    assert "became nan at step 700" in app.error[0].value
    again = app.code[-1].value
    assert failed["trial_id"].iloc[0] in again
    assert again.splitlines()[-1] == "harness run synthetic.yaml --runs-dir runs-again"


def test_the_runs_page_counts_and_lists_failures(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(databases["partly-failed"])
    for progress in store.runs_dir.glob("*/progress.jsonl"):
        progress.touch()  # the database is shared: it may be minutes old by now
    app = _run("runs", databases["partly-failed"], monkeypatch)
    done, total, failed = store.frame(
        "SELECT count(*) FILTER (status = 'ok'), count(*), count(*) FILTER (status = 'failed') FROM trials"
    ).iloc[0]
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Done"] == f"{done:,} of {total:,}"
    assert metrics["Failed"] == str(failed)
    assert metrics["Running now"] == "2"


def test_a_smaller_budget_never_finds_a_better_student(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run("tradeoff", databases["full"], monkeypatch, {"suite": "GLUE"})
    slider = app.select_slider(key="budget_latency_ms")
    assert "6L-384" in app.markdown[0].value
    slider.set_value(slider.options[0] if isinstance(slider.options[0], float) else 3.32).run()
    assert "3L-192" in app.markdown[0].value


def test_the_budget_spans_the_students_and_one_seed_decides_nothing(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run("tradeoff", databases["single-seed"], monkeypatch)
    rows = read_board(Store(databases["single-seed"])).ranking().ranked
    options = [
        float(value.removesuffix(" ms")) for value in app.select_slider(key="budget_latency_ms").options
    ]
    assert min(options) == pytest.approx(rows["latency_ms"].min(), rel=0.01)
    assert max(options) == pytest.approx(rows["latency_ms"].max(), rel=0.01)
    assert app.markdown[0].value.startswith("Best under ")
    assert "one trained student: another seed may reverse it" in app.markdown[0].value
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    filled = [layer["mark"]["filled"] for layer in spec["layer"] if layer["mark"].get("type") == "point"]
    assert filled == [True, False]


def test_what_filters_hide_is_counted_beside_the_date_of_the_results(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _run("ranking", databases["full"], monkeypatch, {"suite": "GLUE", "family": "HS"})
    board = read_board(Store(databases["full"]))
    filters = Filters(suite="GLUE", family=("HS",), one_setting=True)
    said = " ".join(one.value for one in app.caption)
    assert f"Left out: {'; '.join(not_shown(board, filters))}." in said
    assert " rows hidden by filters" in said
    assert f"Results of {days_and_commits(Store(databases['full']))}." in said


@pytest.mark.parametrize(
    ("page", "query", "of"),
    [
        ("languages", {"family": "HS"}, Filters(tasks=("xnli",))),
        ("compare", {"suite": "GLUE", "family": "HS"}, Filters(suite="GLUE")),
        ("published", {}, Filters()),
    ],
)
def test_pages_without_a_ranking_count_what_they_leave_out(
    databases: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    query: dict[str, str],
    of: Filters,
) -> None:
    app = _run(page, databases["full"], monkeypatch, query)
    said = " ".join(one.value for one in app.caption)
    board = read_board(Store(databases["full"]))
    filters = replace(of, family=("HS",) if query else ())
    hidden = len(board.ranking(of).ranked) - len(board.ranking(filters).ranked)
    assert (f"{hidden} rows hidden by filters" in said) == bool(query)
    assert "intermediate students of earlier steps" in said
    assert f"Results of {days_and_commits(Store(databases['full']))}." in said


def test_published_figures_stand_beside_the_first_rows_of_ours_and_count_the_others(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.views.published.MOST_ROWS", 3)
    said = " ".join(one.value for one in _run("published", databases["full"], monkeypatch).caption)
    ours = read_board(Store(databases["full"])).ranking(Filters(tasks=("xnli",))).table["mean"].notna().sum()
    assert f"The first 3 by mean ({ours - 3} rows further down not shown)" in said


def test_pages_open_with_the_answer_to_their_question(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {
        page: _run(page, databases["full"], monkeypatch, {"suite": "XNLI"})
        for page in ("tasks", "languages", "mappings", "published")
    }
    said = {page: app.markdown[0].value for page, app in opened.items()}
    assert "has the highest mean on xnli" in said["tasks"]
    assert not opened["tasks"].get("vega_lite_chart")  # one task is a table, no map of a single column
    assert "in the 14 languages other than English on xnli" in said["languages"]
    assert said["mappings"].startswith("Of 3 methods of hidden states on ")
    assert "*XNLI test, zero-shot from English*" in said["published"]
    assert opened["published"].subheader[0].value == "XNLI test, zero-shot from English"
    assert "Swahili" in opened["languages"].multiselect(key="lang").options


def test_rows_that_share_a_letter_share_a_group() -> None:
    assert group_letters((("r1", "r2"), ("r2", "r3"))) == {"r1": "a", "r2": "ab", "r3": "b"}


def test_the_leaderboard_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom leaderboard.views import compare, languages, mappings, published, ranking, "
        "runs, tasks, tradeoff, trial\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_intermediate_students_are_drawn_over_their_tokens(
    databases: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = read_board(Store(databases["full"]))
    ranking = board.ranking(Filters(suite="GLUE", milestones=True))
    points = quality_over_tokens(ranking, board.frames)
    assert points.groupby("config_id")["step"].agg(list).tolist() == [[250, 500, 1000, 2000]] * 2
    assert (
        points.groupby("config_id")["tokens"].agg(list).tolist()
        == [[1_024_000, 2_048_000, 4_096_000, 8_192_000]] * 2
    )
    assert (points["n"] == 3).all()
    early, last = (points[points["step"] == step].set_index("config_id")["mean"] for step in (250, 2000))
    assert (early < last).all()
    runs = _run("runs", databases["full"], monkeypatch)
    assert "Quality over tokens" in [heading.value for heading in runs.subheader]
    trials = Store(databases["full"]).frame(
        "SELECT trial_id FROM trials WHERE kind = 'distil' AND student = '4L-312' LIMIT 1"
    )
    trial = _run("trial", databases["full"], monkeypatch, {"trial": trials["trial_id"].iloc[0]})
    assert "Intermediate students" in [heading.value for heading in trial.subheader]
    assert any("@250 --out DIR" in caption.value for caption in trial.caption)


def test_scores_at_guessing_stand_in_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {}
    for guessed in (False, True):
        path = tmp_path / f"{guessed}.duckdb"
        write_store(path, Board(methods=("od",), students=("3L-192",), tasks=XNLI))
        if guessed:
            with duckdb.connect(path) as con:
                con.execute("UPDATE scores SET value = no_information WHERE language <> 'en'")
        said[guessed] = " ".join(str(one.value) for one in _run("languages", path, monkeypatch).caption)
    assert AT_GUESSING not in said[False]
    assert f"In brackets: {AT_GUESSING}" in said[True]
