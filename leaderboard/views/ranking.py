"""The ranking: which method is best on a suite, and how far the data can tell."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from harness.counted import counted
from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.leader import compared_in_words, leader_sentence
from harness.ranking.headline import FamilyAnswer
from harness.ranking.render import text
from harness.ranking.render.retention import retention_in_words
from harness.ranking.render.web.html_text import bold
from harness.results.left_out import read_left_out
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import one_setting, sidebar
from leaderboard.page import counted_out, opened
from leaderboard.ranking_table import ranking_table
from leaderboard.theme import COLOURS, legible
from leaderboard.wording import row_labels, with_tooltips

MOST_BARS = 30
"""Rows drawn before the reader asks for all."""


def page() -> None:
    """What is compared, the answer, the table and a chart of one suite, and how to read them."""
    board = opened(
        "Ranking",
        "Trials are running; nothing has been scored yet. The **Runs** page shows how far they are.",
    )
    if board is None:
        return
    filters = sidebar(board)
    above = st.container()
    filters = one_setting(board, filters)
    ranking = board.ranking(filters)
    if ranking.ranked.empty and ranking.references.empty:
        st.info("Nothing matches these filters. Clear one of them in the sidebar.")
        return
    labels = row_labels(ranking.table)
    with above:
        _answer(board, ranking, filters, labels)
    ranking_table(ranking, labels)
    counted_out(board, filters)
    _chart(ranking, labels, filters)
    _meta(ranking)
    _incomplete(ranking, labels)
    answers = board.answers(filters)
    if answers:
        with st.expander("All pairs of families", expanded=bool(filters.evaluation)):
            _pairs(answers)
    _how_to_read(ranking)


def _answer(board: Board, ranking: Ranking, filters: Filters, labels: pd.Series) -> None:
    """What is compared, who is first, and what that says of the families."""
    leader = leader_sentence(ranking, {str(row): str(name) for row, name in labels.items()})
    st.html(f'<div class="meta">{with_tooltips(compared_in_words(ranking, filters.suite))}</div>')
    lines = [
        f'<div class="answer" style="--c:{_leading_colour(ranking)}">{bold(with_tooltips(leader))}</div>'
    ]
    lines += [
        f'<div class="answer" style="--c:{COLOURS[answer.comparison.a]}">{with_tooltips(answer.sentence)}</div>'
        for answer in board.answers(filters)[:1]
    ]
    st.html("".join(lines))


def _leading_colour(ranking: Ranking) -> str:
    """The colour of the first row's family."""
    return COLOURS[str(ranking.ranked["family"].iloc[0])] if len(ranking.ranked) else COLOURS["teacher"]


def _pairs(answers: list[FamilyAnswer]) -> None:
    """Every sentence, and the two tests behind it."""
    st.markdown("\n".join(f"- {answer.sentence}" for answer in answers))
    compared = [answer for answer in answers if text.known(answer.comparison.difference)]
    if not compared:
        return
    shown = pd.DataFrame(
        {
            "families": f"{row.comparison.a} − {row.comparison.b}",
            "setting": row.setting,
            "difference": text.signed(row.comparison.difference),
            "unpaired": text.signed_span(row.comparison.low, row.comparison.high),
            "p unpaired": text.p_value(row.comparison.p),
            "paired": text.signed_span(paired.low, paired.high) if paired else text.NONE,
            "p paired": text.p_value(paired.p) if paired else text.NONE,
            "seeds paired": paired.seeds[0] if paired else 0,
        }
        for row in compared
        for paired in (row.comparison.paired,)
    )
    st.dataframe(shown, hide_index=True, width="stretch")
    st.caption(
        "The sentences rest on the unpaired test, whose variance is that of the family's students. Paired: t on "
        "differences of the same seed between the two configurations. Both hold for all pairs at once (95 %)."
    )


def _meta(ranking: Ranking) -> None:
    parts = [f"Mean over {counted(len(ranking.tasks), 'task')}: {', '.join(ranking.tasks)}."]
    languages = {codes for codes in ranking.languages.values() if len(codes) > 1}
    if languages:
        parts.append(
            f"Tasks in several languages count by their mean over {max(map(len, languages))} languages."
        )
    if ranking.other_protocols:
        parts.append(f"{text.other_protocols_in_words(ranking.other_protocols)}.")
    parts += [left_out.sentence for left_out in read_left_out(data.store().runs_dir)]
    st.html(f'<div class="meta">{html.escape(" ".join(parts))}</div>')


def _chart(ranking: Ranking, labels: pd.Series, filters: Filters) -> None:
    ranked = ranking.ranked[ranking.ranked["mean"].notna()]
    if ranked.empty:
        return
    rows = ranked.assign(
        label=ranked["config_id"].map(labels),
        rank_text=[text.rank_range(*row) for row in ranked[["rank", "best_rank", "worst_rank"]].to_numpy()],
    )
    every = len(rows) <= MOST_BARS or st.toggle(
        f"Draw all {len(rows)} configurations", key="all", bind="query-params"
    )
    teacher = ranking.references[ranking.references["mean"].notna()]
    columns = ["label", "family", "mean", "low", "high", "n", "rank_text"]
    chart = figures.forest(
        rows[columns] if every else rows[columns].head(MOST_BARS),
        teacher.assign(label=teacher["config_id"].map(labels))[["label", "mean"]],
        f"{filters.suite or 'all suites'}, points, with 95 % intervals",
    )
    st.vega_lite_chart(chart | {"config": legible()}, width="stretch")
    if len(teacher):
        named = ", ".join(
            f"{labels[row]} {text.points(mean)}"
            for row, mean in zip(teacher["config_id"], teacher["mean"], strict=True)
        )
        st.caption(f"Dashed: teachers ({named}).")


def _incomplete(ranking: Ranking, labels: pd.Series) -> None:
    gaps = ranking.ranked[~ranking.ranked["complete"].astype(bool)]
    if len(gaps):
        with st.expander(
            f"{len(gaps)} incomplete: after the complete ones, or not ranked without a whole student"
        ):
            lines = [f"- {labels[row['config_id']]}: {text.notes(row)}" for row in gaps.to_dict("records")]
            st.markdown("\n".join(lines))


def _how_to_read(ranking: Ranking) -> None:
    with st.expander("How to read this"):
        st.markdown(
            f"""
- A row is one **configuration**; scores of different configurations are never averaged. Its **seeds** are
  separately distilled students; fine-tuning seeds are averaged inside a student first.
- **Mean**: points over the suite's tasks, each task counting once. **Interval**: 95 % t interval over the
  seeds, for these tasks.
- **Rank (best–worst)**: {ranking.rank_test or "no test could be made"}. A single seed says
  nothing about spread, so its rank can be any.
- **Group**: rows that share a letter cannot be told apart.
- {retention_in_words(ranking)}
- Fine-tuning settings were chosen on dev scores; only the chosen setting's reported score is shown.
"""
        )
