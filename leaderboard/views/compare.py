"""Two or more configurations side by side: where they differ in score, and in settings."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.counted import counted
from harness.ranking.across_tasks import across_tasks
from harness.ranking.board import Board
from harness.ranking.cells.table import Ranking
from harness.ranking.compare import differences, settings_apart, verdict
from harness.ranking.examples import accuracy_trials, differences_by_row, over_examples
from harness.ranking.render import text
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import from_address, sidebar, to_address
from leaderboard.page import counted_out, opened
from leaderboard.wording import row_labels

MOST = 6
"""Rows compared at once."""


def page() -> None:
    """Two to six chosen rows: how far apart they score, and the settings that differ."""
    board = opened("Compare", "Nothing has been scored yet, so there is nothing to compare.")
    if board is None:
        return
    filters = sidebar(board)
    ranking = board.ranking(filters)
    labels = row_labels(ranking.table)
    known = ranking.table["config_id"].tolist()
    from_address("rows", known)
    rows = st.multiselect(
        "Configurations",
        known,
        format_func=lambda row: labels.get(row, row),
        key="rows",
        max_selections=MOST,
        placeholder="two to six of them",
    )
    to_address("rows", rows)
    if len(rows) < 2:
        _suggest(ranking, labels)
    else:
        _compare(ranking, board, rows, labels)
        _settings(board, rows, labels)
    counted_out(board, filters)


def _suggest(ranking: Ranking, labels: pd.Series) -> None:
    ranked = ranking.ranked[ranking.ranked["mean"].notna()]
    if len(ranked) < 2:
        st.info("There are fewer than two complete configurations under these filters.")
        return
    st.info("Choose two or more configurations above, or start with the best two.")
    best = ranked["config_id"].head(2).tolist()

    def pick() -> None:
        st.session_state["rows"] = best

    st.button(f"Compare {labels[best[0]]} with {labels[best[1]]}", on_click=pick)


def _compare(ranking: Ranking, board: Board, rows: list[str], labels: pd.Series) -> None:
    comparisons = differences(ranking, rows, board.frames.strata)
    _across(ranking, rows, labels)
    pairs = list(dict.fromkeys(zip(comparisons["a"], comparisons["b"], strict=True)))
    st.caption(
        f"{counted(len(comparisons), 'comparison')} over distilled students; all intervals hold at once with 95 % "
        "(Bonferroni; half of the error for means over tasks, half for single tasks), and p is corrected likewise. "
        "Green: the interval excludes zero, both rows are complete and they differ in their method alone."
    )
    for a, b in pairs:
        rows_of_pair = comparisons[(comparisons["a"] == a) & (comparisons["b"] == b)]
        st.subheader(f"{labels[a]}  vs.  {labels[b]}")
        st.markdown(verdict(rows_of_pair, labels[a], labels[b]))
        drawn = rows_of_pair.assign(
            label=rows_of_pair["task"],
            **{name: 100 * rows_of_pair[name] for name in ("difference", "low", "high")},
        )
        left, right = st.columns([3, 2], wrap=True)
        left.altair_chart(
            figures.differences(drawn, f"← {labels[b]} better · points · {labels[a]} better →"),
            width="stretch",
        )
        right.dataframe(_table(rows_of_pair), hide_index=True, width="stretch")
        right.caption(
            f"Drawn: the {' and '.join(sorted(set(rows_of_pair['test'])))} test. Paired: t on differences of the "
            "same seed, which starts from the same weights and sees the same text; unpaired: Welch's t; one-sample: t "
            "of one row's students against the score of a row that is the same student for every seed."
        )
    _these_students(ranking, board, rows, labels)


def _across(ranking: Ranking, rows: list[str], labels: pd.Series) -> None:
    """Whether they differ on tasks in general, where there are enough of both."""
    across = across_tasks(ranking, rows)
    if across is None:
        return
    st.subheader("Over tasks")
    st.markdown(across.sentence)
    ranks = across.friedman.average_ranks.sort_values()
    half = across.friedman.critical_difference / 2
    drawn = pd.DataFrame(
        {
            "label": [labels[row] for row in ranks.index],
            "rank": ranks,
            "low": ranks - half,
            "high": ranks + half,
        }
    )
    left, right = st.columns([3, 2], wrap=True)
    left.altair_chart(figures.average_ranks(drawn), width="stretch")
    pairs = across.pairs.assign(p=across.pairs["p_holm"].map(text.p_value))
    names = {"a": "configuration", "b": "against", "p": "p (Wilcoxon, Holm)"}
    shown = pairs[list(names)].assign(a=pairs["a"].map(labels), b=pairs["b"].map(labels))
    right.dataframe(shown.rename(columns=names), hide_index=True, width="stretch")
    st.caption(
        "Average rank over tasks, 1 is the best; bars are as wide as the critical difference: rows whose bars "
        "do not overlap differ. Tasks are the replicates here: it is asked whether a configuration is better on "
        "tasks like these, not whether another seed would give the same."
    )


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    columns: dict[str, list[str]] = {
        "task": rows["task"].tolist(),
        "difference": [text.signed(value) for value in rows["difference"]],
        "n": [f"{a}" if a == b else f"{a} / {b}" for a, b in zip(rows["n_a"], rows["n_b"], strict=True)],
    }
    for test in ("paired", "unpaired"):
        columns[test] = [
            text.signed_span(low, high)
            for low, high in zip(rows[f"{test}_low"], rows[f"{test}_high"], strict=True)
        ]
        columns[f"p {test}"] = [text.p_value(p) for p in rows[f"{test}_p"]]
    return pd.DataFrame(columns)


def _these_students(ranking: Ranking, board: Board, rows: list[str], labels: pd.Series) -> None:
    """The bootstrap over examples, for those who ask about the trained students alone."""
    selected = accuracy_trials(data.store(), board.frames.models)
    units = differences_by_row(ranking, rows, selected, data.store().runs_dir) if len(selected) else {}
    if not units:
        return
    with st.expander("These trained students on other examples"):
        st.caption(
            "How far the difference of these trained students would hold on other examples like these: a bootstrap "
            "over the rows of the task, each with all its languages, 95 % at once. Another seed may reverse it: it "
            "says nothing of the methods."
        )
        intervals = over_examples(units)
        shown = pd.DataFrame(
            {
                "students of": [
                    f"{labels[a]} − {labels[b]}" for a, b in zip(intervals["a"], intervals["b"], strict=True)
                ],
                "task": intervals["task"],
                "rows": intervals["examples"],
                "difference": [text.signed(value) for value in intervals["difference"]],
                "interval": [
                    text.signed_span(low, high)
                    for low, high in zip(intervals["low"], intervals["high"], strict=True)
                ],
            }
        )
        st.dataframe(shown, hide_index=True, width="stretch")


def _settings(board: Board, rows: list[str], labels: pd.Series) -> None:
    st.subheader("Settings that differ")
    apart = settings_apart(board.frames.settings, rows)
    if apart.empty:
        st.caption("None that are recorded: these rows were not distilled here, or differ in the model only.")
        return
    shown = apart.rename(columns=labels.to_dict()).map(
        lambda value: f"{value:g}" if isinstance(value, float) else str(value)
    )
    st.dataframe(shown.rename_axis("setting").reset_index(), hide_index=True, width="stretch")
