"""Scores by rarity of words, and by languages seen or unseen in distillation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.robustness import (
    by_rarity,
    by_seen,
    distilled_on,
    rarity_frame,
    rarity_sentence,
    seen_sentences,
)
from harness.records.rarity import RarityScore
from harness.records.result import Result
from harness.records.trial import FinetuneJob
from harness.results.store import Recorded, Store
from harness.results.verify import result_problems

from .boards import Board, entries, write_store
from .ingredients import XNLI

SKILL = {"scratch": 0.1, "od": 0.3, "minilmv2": 0.5}
BOARD = Board(methods=tuple(SKILL), students=("3L-192",), prepared=False, measured=False)


def with_rarity(result: Result, job: FinetuneJob, loss: float) -> Result:
    """Two quarters whose accuracies add up to the reported one."""
    parts = []
    for score in result.scores:
        if score.split != job.task.report or score.value is None:
            continue
        half = score.n // 2
        shared = {"task": score.task, "language": score.language, "metric": score.metric}
        for quarter, sign, n in ((1, 1, half), (4, -1, score.n - half)):
            parts.append(
                RarityScore(
                    **shared,
                    quarter=quarter,
                    low=quarter / 8,
                    high=quarter / 4,
                    n=n,
                    value=score.value + sign * loss,
                )
            )
    return result.model_copy(update={"rarity": tuple(parts)})


def with_rarity_of(path: Path, board: Board) -> Store:
    """A board whose scores are recorded by rarity, too."""
    store = write_store(path, board)
    store.record_all(
        [
            Recorded(trial, with_rarity(result, trial.job, SKILL[trial.labels["method"]] / 10), [])
            for trial, result, _ in entries(board)
            if isinstance(trial.job, FinetuneJob)
            and result is not None
            and trial.labels.get("method") in SKILL
        ]
    )
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return with_rarity_of(tmp_path_factory.mktemp("rarity") / "results.duckdb", BOARD)


def test_the_sentence_on_rare_words_follows_from_the_scores(store: Store) -> None:
    ranking = read_board(store).ranking()
    rows = by_rarity(rarity_frame(store), ranking)
    one = rows[rows["task"] == rows["task"].iloc[0]]
    labels = ranking.table.set_index("config_id")["method"].to_dict()
    wide = one.pivot(index="config_id", columns="quarter", values="value")
    said = rarity_sentence(one, labels)
    assert (
        f"split, {labels[wide[4].idxmax()]} has the highest mean ({100 * wide[4].max():.1f} points)" in said
    )
    assert "; scratch loses least between the two (2.0;" in said
    assert said.endswith("Not tested (n = 3 students each): another seed may give another order.")


def test_rarity_is_that_of_the_scores_that_are_ranked(store: Store, tmp_path: Path) -> None:
    scores = rarity_frame(store)
    ranking = read_board(store).ranking()
    plain = by_rarity(scores, ranking)
    twice = pd.concat([scores, scores.assign(protocol="another", value=0.0)])
    pd.testing.assert_frame_equal(by_rarity(twice, ranking), plain)
    fewer = read_board(store).ranking(Filters(tasks=ranking.tasks[:1]))
    assert set(by_rarity(scores, fewer)["task"]) == set(ranking.tasks[:1])


def test_fine_tuning_seeds_are_no_students(tmp_path: Path) -> None:
    board = replace(BOARD, finetune_seeds=(0, 1), seeds=(1, 2))
    store = with_rarity_of(tmp_path / "results.duckdb", board)
    assert set(by_rarity(rarity_frame(store), read_board(store).ranking())["n"]) == {2}


def test_the_tasks_page_shows_rare_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DB", str(store.path))
    app = AppTest.from_string("from leaderboard.views import tasks\ntasks.page()\n", default_timeout=60).run()
    assert [str(error.message) for error in app.exception] == []
    assert any("Where most words are split" in one.value for one in app.markdown)


def test_scores_by_rarity_that_do_not_add_up_are_found() -> None:
    trial, result = next(
        (trial, result)
        for trial, result, _ in entries(BOARD)
        if isinstance(trial.job, FinetuneJob)
        and result
        and any(s.metric == "accuracy" for s in result.scores)
    )
    assert isinstance(trial.job, FinetuneJob)
    assert result is not None
    whole = with_rarity(result, trial.job, 0.0)
    assert list(result_problems(trial, whole)) == list(result_problems(trial, result))
    first = whole.rarity[0]
    for change in ({"value": 0.123}, {"n": first.n + 1}):
        altered = whole.model_copy(update={"rarity": (first.model_copy(update=change), *whole.rarity[1:])})
        assert len(list(result_problems(trial, altered))) > len(list(result_problems(trial, result)))


SCORES = pd.DataFrame({"en": [0.9, 0.8], "de": [0.6, 0.7], "sw": [0.4, 0.6]}, index=["a", "b"])
NAMES = {"a": "A", "b": "B"}


def test_seen_and_unseen_languages_are_averaged_apart_without_english() -> None:
    rows = by_seen(SCORES, {"a": {"en", "de"}, "b": {"en", "de"}}).set_index("row")
    assert rows.loc["a", ["seen", "unseen"]].tolist() == [0.6, 0.4]
    assert rows.loc["b", "loss"] == pytest.approx(0.1)
    (said,) = seen_sentences(rows.reset_index(), NAMES, {"a": 3, "b": 2})
    assert (
        "In sw, which were not distilled on, B has the highest mean (60.0 points, 70.0 in de, which" in said
    )
    assert "mean loss of 2 configurations is 15.0 points" in said
    assert said.endswith("Not tested (n = 2 to 3 students): another seed may give another order.")


def test_rows_that_lack_other_languages_are_not_compared() -> None:
    rows = by_seen(SCORES, {"a": {"de"}, "b": {"sw"}})
    said = seen_sentences(rows, NAMES, {"a": 3, "b": 3})
    assert ["A scores 40.0 points" in said[1], "B scores 70.0 points" in said[0]] == [True, True]
    assert not any("highest" in sentence for sentence in said)


@pytest.mark.parametrize("seen", [{"en", "de", "sw"}, {"en"}])
def test_nothing_is_said_where_languages_are_all_seen_or_all_unseen(seen: set[str]) -> None:
    (said,) = seen_sentences(by_seen(SCORES, {"a": seen}), NAMES, {"a": 3})
    assert "cannot be compared" in said


def test_the_languages_page_compares_what_the_corpus_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.duckdb"
    board = Board(methods=("od", "scratch"), students=("3L-192",), tasks=XNLI, languages=("de", "en", "fr"))
    write_store(path, board)
    assert set(distilled_on(Store(path)).values()) == {frozenset(board.languages)}
    monkeypatch.setenv("HARNESS_DB", str(path))
    page = "from leaderboard.views import languages\nlanguages.page()\n"
    app = AppTest.from_string(page, default_timeout=60).run()
    assert [str(error.message) for error in app.exception] == []
    assert any("which were not distilled on" in one.value for one in app.markdown)
