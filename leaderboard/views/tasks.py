"""Scores per task: one heat map, one table, one task at a time with its intervals."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.counted import counted
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.openings import tasks_sentence
from harness.ranking.render import text
from harness.ranking.robustness import by_rarity, rarity_frame, rarity_sentence
from leaderboard import figures
from leaderboard import present as data
from leaderboard.filters import BOUND, one, one_setting, sidebar
from leaderboard.page import counted_out, opened
from leaderboard.wording import row_labels

MOST_ROWS = 30


def page() -> None:
    """All tasks as a heat map, then one of them with its intervals."""
    board = opened("Tasks")
    if board is None:
        return
    filters = one_setting(board, sidebar(board))
    ranking = board.ranking(filters)
    labels = row_labels(ranking.table)
    cells = ranking.per_task[ranking.per_task["mean"].notna()]
    if cells.empty:
        st.info("Nothing matches these filters. Clear one of them in the sidebar.")
        return
    st.markdown(tasks_sentence(ranking, {str(row): str(name) for row, name in labels.items()}))
    if len(ranking.tasks) > 1:
        _all_tasks(ranking, cells, labels)
    _one_task(ranking.table, cells, labels, ranking.tasks)
    _rarity(ranking, board.once("rarity", lambda: rarity_frame(data.store())), labels)
    _task_facts(ranking)
    counted_out(board, filters)


def _all_tasks(ranking: Ranking, cells: pd.DataFrame, labels: pd.Series) -> None:
    """Rows by tasks as a heat map."""
    order = [row for row in ranking.table["config_id"] if row in set(cells["config_id"])]
    with st.sidebar:
        by = one("Sort by", ["mean", *ranking.tasks], "sort")
    if by != "mean":
        best_first = cells[cells["task"] == by].sort_values("mean", ascending=False)["config_id"].tolist()
        order = [*best_first, *(row for row in order if row not in set(best_first))]
    if len(order) > MOST_ROWS and not st.toggle(
        f"Show all {len(order)} rows", key="all", bind="query-params"
    ):
        order = order[:MOST_ROWS]
    shown = cells[cells["config_id"].isin(order)]
    st.altair_chart(
        figures.heat_map(
            shown.assign(
                label=shown["config_id"].map(labels),
                column=shown["task"],
                number=shown["mean"].map(text.points),
                shade=figures.by_column(shown["mean"], shown["task"]),
                shown=[
                    text.plus_minus(mean, low, high) + f" (n = {n})"
                    for mean, low, high, n in shown[["mean", "low", "high", "n"]].itertuples(index=False)
                ],
            )[["label", "column", "number", "shade", "shown"]],
            [labels[row] for row in order],
            list(ranking.tasks),
            "points",
        ),
        width="stretch",
    )
    st.caption(
        "Mean over seeds, in points; hover for the 95 % interval. Colour: from the lowest to the highest "
        "of each task. "
        "An empty cell is a task without a score."
    )


def _one_task(table: pd.DataFrame, cells: pd.DataFrame, labels: pd.Series, tasks: tuple[str, ...]) -> None:
    if len(tasks) > 1:
        st.subheader("One task")
        picked = st.segmented_control(
            "Task", tasks, default=tasks[0], key="one", label_visibility="collapsed", required=True, **BOUND
        )
    task = picked if len(tasks) > 1 else tasks[0]
    rows = cells[cells["task"] == task].sort_values("mean", ascending=False, ignore_index=True)
    names = table.set_index("config_id")
    shown = pd.DataFrame(
        {
            "configuration": rows["config_id"].map(labels),
            "family": rows["config_id"].map(names["family"]),
            "mean": 100 * rows["mean"],
            "95 % interval": [
                text.interval(low, high) for low, high in zip(rows["low"], rows["high"], strict=True)
            ],
            "spread (sd)": 100 * rows["std"],
            "seeds": rows["n"],
        }
    )
    number = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        placeholder=text.NONE,
        column_config={"mean": number, "spread (sd)": number},
    )


def _rarity(ranking: Ranking, scores: pd.DataFrame, labels: pd.Series) -> None:
    """Scores by the share of words that the tokenizer splits."""
    st.subheader("Rare words")
    rows = by_rarity(scores, ranking)
    if rows.empty:
        st.info("No trial shown here recorded scores by rarity; fine-tuning trials that run from now on do.")
        return
    with_scores = sorted(rows["task"].unique())
    task = one("Task, by rarity", with_scores, "rare") if len(with_scores) > 1 else with_scores[0]
    rows = rows[rows["task"] == task]
    complete = ranking.ranked.loc[ranking.ranked["complete"].astype(bool), "config_id"]
    named = {str(row): str(name) for row, name in labels.items()}
    st.markdown(rarity_sentence(rows[rows["config_id"].isin(complete)], named))
    wide = 100 * rows.pivot(index="config_id", columns="quarter", values="value")
    ranges = rows.groupby("quarter").agg(low=("low", "min"), high=("high", "max"), rows=("rows", "max"))
    wide.columns = pd.Index(
        [
            f"{low:.0%} to {high:.0%} split, {counted(int(count), 'row')}"
            for low, high, count in ranges.to_numpy(float).tolist()
        ]
    )
    st.dataframe(wide.set_axis(labels[wide.index].tolist()).round(1), width="stretch")
    st.caption(
        "Reported rows in quarters by the share of their words that the tokenizer cuts into several pieces; rows of "
        "equal share stay together, so quarters differ in size. Points, mean over seeds; the sentence is on complete rows."
    )


def _task_facts(ranking: Ranking) -> None:
    """What each task is, of the scores that are shown: split, metric, rows, notes."""
    facts = data.query(
        "SELECT s.suite, s.task, string_agg(DISTINCT s.metric, ', ' ORDER BY s.metric) AS metrics, s.split, "
        "count(DISTINCT s.language) AS languages, min(s.n) AS rows FROM scores s JOIN trials t USING (trial_id) "
        "WHERE s.reported AND list_contains(?, t.protocol) GROUP BY ALL ORDER BY ALL",
        sorted(set(ranking.cells["protocol"].astype(str))),
    )
    notes = data.query(
        "SELECT DISTINCT task, config->>'$.task.note' AS note FROM trials WHERE kind = 'finetune' AND "
        "config->>'$.task.note' <> ''"
    )
    with st.expander("What the tasks are"):
        facts = facts.rename(columns={"split": "reported split"})
        st.dataframe(
            facts.merge(notes, on="task", how="left") if len(notes) else facts,
            hide_index=True,
            width="stretch",
        )
        st.caption(
            "A task with several metrics counts by their mean. Where the reported split is dev, the data "
            "set hides its test labels."
        )
