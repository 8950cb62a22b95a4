"""Scores by rarity of words, and by languages seen or unseen in distillation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from harness.ranking.robustness import (
    by_seen,
    distilled_on,
    rarity_frame,
    rarity_sentence,
    seen_sentence,
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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("rarity") / "results.duckdb"
    write_store(path, BOARD)
    store = Store(path)
    store.record_all(
        [
            Recorded(trial, with_rarity(result, trial.job, SKILL[trial.labels["method"]] / 10), [])
            for trial, result, _ in entries(BOARD)
            if isinstance(trial.job, FinetuneJob)
            and result is not None
            and trial.labels.get("method") in SKILL
        ]
    )
    return store


def test_the_sentence_on_rare_words_follows_from_the_scores(store: Store) -> None:
    rows = rarity_frame(store)
    one = rows[rows["task"] == rows["task"].iloc[0]]
    names = store.frame("SELECT DISTINCT config_id, method FROM trials WHERE kind = 'distil'")
    labels = dict(zip(names["config_id"], names["method"], strict=True))
    wide = one.pivot(index="config_id", columns="quarter", values="value")
    said = rarity_sentence(one, labels)
    assert (
        f"split, {labels[wide[4].idxmax()]} has the highest mean ({100 * wide[4].max():.1f} points)" in said
    )
    assert "; scratch loses least between the two (2.0;" in said
    assert "n = 3 or more" in said


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


def test_seen_and_unseen_languages_are_averaged_apart_without_english() -> None:
    rows = by_seen(SCORES, {"a": {"en", "de"}, "b": {"en", "de"}}).set_index("row")
    assert rows.loc["a", ["seen", "unseen"]].tolist() == [0.6, 0.4]
    assert rows.loc["b", "loss"] == pytest.approx(0.1)
    said = seen_sentence(rows.reset_index(), {"a": "A", "b": "B"})
    assert "B has the highest mean (60.0 points, 70.0 in those that were" in said
    assert "mean loss of 2 configurations is 15.0 points" in said


@pytest.mark.parametrize("seen", [{"en", "de", "sw"}, {"en"}])
def test_nothing_is_said_where_languages_are_all_seen_or_all_unseen(seen: set[str]) -> None:
    assert "cannot be compared" in seen_sentence(by_seen(SCORES, {"a": seen}), {"a": "A"})


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
    assert any("In languages that were not distilled on" in one.value for one in app.markdown)
