"""The ranking: which configuration is best on a suite, and how far the data can tell."""

from __future__ import annotations

import html
from typing import Any

import pandas as pd
import streamlit as st

from harness.ranking.board import Board
from harness.ranking.cells.scope import FAMILIES, Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.cells.unscored import unscored_in_words
from harness.ranking.headline import FamilyAnswer
from harness.ranking.render import text
from harness.ranking.statistics.guessing import AT_GUESSING
from harness.results.left_out import read_left_out
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import sidebar
from leaderboard.page import opened
from leaderboard.theme import COLOURS
from leaderboard.wording import group_letters, row_labels

MOST_BARS = 30
"""Rows drawn before the reader asks for all."""


def page() -> None:
    """Answer, chart and table of one suite, and how to read them."""
    board = opened(
        "Ranking",
        "Trials are running; nothing has been scored yet. The **Runs** page shows how far they are.",
    )
    if board is None:
        return
    filters = sidebar(board)
    ranking = board.ranking(filters)
    _answers(board, filters)
    _meta(board, ranking, filters)
    for left_out in read_left_out(data.store().runs_dir):
        st.caption(left_out.sentence)
    if ranking.ranked.empty and ranking.references.empty:
        st.info("Nothing matches these filters. Clear one of them in the sidebar.")
        return
    labels = row_labels(ranking.table)
    _chart(ranking, labels, filters)
    _table(ranking, labels)
    _incomplete(ranking, labels)
    _how_to_read(ranking)


def _answers(board: Board, filters: Filters) -> None:
    """The family question, in a sentence or two."""
    answers = board.answers(filters)
    lines = [
        f'<div class="answer" style="--c:{COLOURS[answer.comparison.a]}">{html.escape(answer.sentence)}</div>'
        for answer in answers[:2]
    ]
    if lines:
        st.html("".join(lines))
    if answers:
        with st.expander("All pairs of families"):
            _pairs(answers)


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


def _meta(board: Board, ranking: Ranking, filters: Filters) -> None:
    parts = [f"Mean over {_counted(ranking.tasks, 'task')}: {', '.join(ranking.tasks)}."]
    languages = {codes for codes in ranking.languages.values() if len(codes) > 1}
    if languages:
        parts.append(
            f"Tasks in several languages count by their mean over {max(map(len, languages))} languages."
        )
    if ranking.other_protocols:
        count = sum(ranking.other_protocols.values())
        parts.append(f"{count} models scored under other fine-tuning settings are not shown.")
    unscored = unscored_in_words(board.frames.evaluations, filters.suite)
    parts += [f"{unscored}."] if unscored else []
    st.html(f'<div class="meta">{html.escape(" ".join(parts))}</div>')


def _counted(items: tuple[str, ...], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


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
    st.vega_lite_chart(chart, width="stretch")
    if len(teacher):
        named = ", ".join(
            f"{labels[row]} {text.points(mean)}"
            for row, mean in zip(teacher["config_id"], teacher["mean"], strict=True)
        )
        st.caption(f"Dashed: teachers ({named}).")


def _table(ranking: Ranking, labels: pd.Series) -> None:
    shown = _columns(ranking)
    event = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        placeholder=text.NONE,
        height=min(36 * len(shown) + 40, 640),
        column_config=_config(ranking),
        on_select="rerun",
        selection_mode="multi-row",
        key="table",
    )
    picked = [str(ranking.table["config_id"].iloc[row]) for row in event["selection"]["rows"]]
    if len(picked) >= 2:
        names = " · ".join(labels[row] for row in picked[:2]) + (" …" if len(picked) > 2 else "")
        st.page_link(
            st.session_state["pages"]["compare"],
            label=f"Compare {names}",
            icon=":material/compare_arrows:",
            query_params={"rows": picked, **_suite()},
        )
    else:
        st.caption("Tick two or more rows to compare them. Click a heading to sort.")


def _suite() -> dict[str, str]:
    """The suite as the address has it; nothing where it is the default."""
    named = st.query_params.get("suite")
    return {"suite": named} if named else {}


def _columns(ranking: Ranking) -> pd.DataFrame:
    table = ranking.table
    letters = group_letters(ranking.groups)
    shown = pd.DataFrame(
        {
            "rank": [
                text.rank_range(*row)
                for row in table[["rank", "best_rank", "worst_rank"]].astype(object).to_numpy()
            ],
            "family": [[family] for family in table["family"]],
            "method": table["method"],
            "student": table["student"].fillna(table["teacher"]),
            "teacher": table["teacher"],
            "language": table["language"],
            "variant": table["variant"],
            "tokens": [text.count(tokens) for tokens in table["tokens"]],
            "mean": 100 * table["mean"],
            "interval": [
                text.interval(low, high) for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "retention": 100 * table["retention"],
            "n": table["n"],
            "group": table["config_id"].map(letters).fillna(""),
            "notes": [
                text.notes(row)
                for row in table[["n", "students", "lost", "missing", "at_guessing", "flags"]].to_dict(
                    "records"
                )
            ],
            "parameters": table["parameters"] / 1e6,
            "latency": table["latency_ms"],
            "without": table["parameters_without_embeddings"] / 1e6,
            "shipped": 100 * table["retention_of_shipped"],
        }
    )
    dull = [column for column in ("variant", "notes", "group") if not shown[column].astype(bool).any()]
    dull += [column for column in ("teacher", "language", "tokens") if ranking.ranked[column].nunique() < 2]
    dull += [
        column
        for column in ("parameters", "without", "latency", "retention", "shipped")
        if shown[column].isna().all()
    ]
    return shown.drop(columns=dull)


def _config(ranking: Ranking) -> dict[str, Any]:
    column = st.column_config
    families = [family for family in FAMILIES if family in set(ranking.table["family"])]
    return {
        "rank": column.TextColumn(
            "Rank", width=104, help="By mean; in brackets the best and worst rank that the data allow."
        ),
        "family": column.MultiselectColumn(
            "Family", options=families, color=[COLOURS[family] for family in families], disabled=True
        ),
        "method": column.TextColumn("Method"),
        "student": column.TextColumn("Student"),
        "teacher": column.TextColumn("Teacher"),
        "language": column.TextColumn("Distilled on"),
        "variant": column.TextColumn(
            "Settings",
            help="What sets it apart from rows of the same name, and settings that differ between rows.",
        ),
        "tokens": column.TextColumn("Tokens", help="Tokens that a student was distilled on."),
        "mean": column.NumberColumn("Mean", format="%.1f", help="Points, over the tasks named above."),
        "interval": column.TextColumn(
            "95 % interval", help="t interval over distilled students (seeds); none for a single seed."
        ),
        "retention": column.NumberColumn(
            "Retention %", format="%.1f", help="Share of the score of the teacher it learnt from."
        ),
        "shipped": column.NumberColumn(
            "Of shipped %", format="%.1f", help="Share of the score of the teacher as shipped."
        ),
        "group": column.TextColumn("Group", help="Rows that share a letter cannot be told apart."),
        "n": column.NumberColumn("Seeds", help="Distilled students with every task."),
        "parameters": column.NumberColumn("Params M", format="%.1f"),
        "without": column.NumberColumn("w/o emb. M", format="%.1f", help="Parameters without embeddings."),
        "latency": column.NumberColumn("Latency ms", format="%.1f"),
        "notes": column.TextColumn(
            "Notes",
            width="medium",
            help=f"What is missing, and flags. At guessing: {AT_GUESSING}.",
        ),
    }


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
- **Retention**: per task, the share of the teacher's score that is kept, then averaged.
- Fine-tuning settings were chosen on dev scores; only the chosen setting's reported score is shown.
"""
        )
