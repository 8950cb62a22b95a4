"""The table of the ranking: a row a method and student, a column a task, and what a ticked row leads to."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from harness.counted import counted
from harness.ranking.cells.scope import FAMILIES
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.reuse import best_by_dev, how_to_use, students_of
from harness.ranking.render import text
from harness.ranking.render.retention import retention_in_words
from harness.ranking.statistics.guessing import AT_GUESSING
from leaderboard import present as data
from leaderboard.links import link
from leaderboard.theme import COLOURS
from leaderboard.wording import group_letters

ROW_HEIGHT = 30
MOST_HEIGHT = 470
"""Pixels: what a screen of 1440 × 900 has left below the answer."""
MOST_LINKS = 6
"""Trials of a row that are listed."""
MADE_HERE = ("student", "prepared")
NOTED = (
    "constant", "n", "students", "lost", "missing", "masked_accuracy", "teacher_masked_accuracy", "at_guessing", "flags",
)  # fmt: skip
"""What the notes of a row are made of."""
OFTEN_DULL = ("variant", "notes", "group")
MAY_BE_UNKNOWN = ("parameters", "without", "latency", "retention", "shipped")


def ranking_table(ranking: Ranking, labels: pd.Series) -> None:
    """The table, then what the ticked rows lead to; the first row where none is ticked."""
    shown = table_columns(ranking)
    event = st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        placeholder=text.NONE,
        row_height=ROW_HEIGHT,
        height=min(ROW_HEIGHT * len(shown) + 42, MOST_HEIGHT),
        column_config=_config(ranking),
        on_select="rerun",
        selection_mode="multi-row",
        key="table",
    )
    picked = [str(ranking.table["config_id"].iloc[row]) for row in event["selection"]["rows"]]
    if len(picked) >= 2:
        names = " · ".join(labels[row] for row in picked[:2]) + (" …" if len(picked) > 2 else "")
        link("compare", f"Compare {names}", ":material/compare_arrows:", rows=picked)
    else:
        _leads_to(ranking, picked[0] if picked else str(ranking.table["config_id"].iloc[0]), labels)


def _leads_to(ranking: Ranking, row: str, labels: pd.Series) -> None:
    """The trials of a row, and how to use its student."""
    about = ranking.table.set_index("config_id").loc[row]
    students = students_of(ranking, row)
    with st.container(border=True):
        left, right = st.columns([2, 3], gap="medium", wrap=True)
        if about["role"] not in MADE_HERE or students.empty:
            left.markdown(f"**{labels[row]}** was not trained here, or no student of it was scored.")
            return
        best = best_by_dev(students)
        with left:
            st.markdown(f"**Trials of {labels[row]}**")
            for student in students.head(MOST_LINKS).to_dict("records"):
                seed = f"seed {student['distil_seed']:.0f}" if about["role"] == "student" else "its trial"
                label = f"{seed}: {text.points(student['score'])}"
                link("trial", label, ":material/science:", trial=str(student["model_key"]).partition("@")[0])
            if len(students) > MOST_LINKS:
                st.caption(f"and {counted(len(students) - MOST_LINKS, 'more trial')}, `harness report --ids`")
        with right:
            use = how_to_use(data.store(), str(best["model_key"]))
            seed = (
                f" Seed {best['distil_seed']:.0f}: best dev score of its seeds." if len(students) > 1 else ""
            )
            st.markdown(f"**Use this {'student' if about['role'] == 'student' else 'teacher'}**")
            st.code(use.command, language=None, wrap_lines=True)
            st.caption(use.note + seed)
    st.caption("Tick a row for its trials and its student; two or more to compare them. A heading sorts.")


def table_columns(ranking: Ranking) -> pd.DataFrame:
    """What the table shows of a ranking, without the columns that would say nothing."""
    table = ranking.table
    letters = group_letters(ranking.groups)
    ranks = table[["rank", "best_rank", "worst_rank"]].astype(object).to_numpy()
    noted = table[[*NOTED]].to_dict("records")
    shown = pd.DataFrame(
        {
            "rank": [text.rank_range(*row) for row in ranks],
            "method": table["method"],
            "student": table["student"].fillna(table["teacher"]),
            "family": [[family] for family in table["family"]],
            "teacher": table["teacher"],
            "language": table["language"],
            "mean": 100 * table["mean"],
            "interval": [text.interval(*row) for row in table[["low", "high"]].to_numpy()],
            **_task_columns(ranking),
            "n": table["n"],
            "variant": table["variant"],
            "notes": [text.notes(row) for row in noted],
            "retention": 100 * table["retention"],
            "latency": table["latency_ms"],
            "parameters": table["parameters"] / 1e6,
            "group": table["config_id"].map(letters).fillna(""),
            "tokens": [text.count(tokens) for tokens in table["tokens"]],
            "without": table["parameters_without_embeddings"] / 1e6,
            "shipped": 100 * table["retention_of_shipped"],
        }
    )
    dull = [column for column in OFTEN_DULL if not shown[column].astype(bool).any()]
    dull += [column for column in ("teacher", "language", "tokens") if ranking.ranked[column].nunique() < 2]
    dull += [column for column in MAY_BE_UNKNOWN if shown[column].isna().all()]
    return shown.drop(columns=dull)


def _task_columns(ranking: Ranking) -> dict[str, pd.Series]:
    """`task:NAME` -> points of each row; nothing where the mean is that of one task."""
    if len(ranking.tasks) < 2 or ranking.per_task.empty:
        return {}
    means = ranking.per_task.pivot(index="config_id", columns="task", values="mean")
    rows = ranking.table["config_id"]
    return {f"task:{task}": 100 * rows.map(means[task]) for task in ranking.tasks if task in means}


def _config(ranking: Ranking) -> dict[str, Any]:
    column = st.column_config
    families = [family for family in FAMILIES if family in set(ranking.table["family"])]
    tasks = {
        f"task:{task}": column.NumberColumn(
            task, format="%.1f", width=72, help=f"Points on {task}, mean over seeds."
        )
        for task in ranking.tasks
    }
    return tasks | {
        "rank": column.TextColumn(
            "Rank", width=92, help="By mean; in brackets the best and worst rank that the data allow."
        ),
        "method": column.TextColumn("Method", width=150),
        "student": column.TextColumn("Student", width=78),
        "family": column.MultiselectColumn(
            "Family",
            options=families,
            color=[COLOURS[family] for family in families],
            disabled=True,
            width=92,
            help="OD: output distribution. HS: hidden states. MHA: multi-head attention.",
        ),
        "teacher": column.TextColumn("Teacher"),
        "language": column.TextColumn("Distilled on"),
        "variant": column.TextColumn(
            "Settings",
            help="What sets it apart from rows of the same name, settings that differ between rows, and of how many "
            "settings dev scores chose it.",
        ),
        "tokens": column.TextColumn("Tokens", help="Tokens that a student was distilled on."),
        "mean": column.NumberColumn(
            "Mean", format="%.1f", width=68, help="Points, over the tasks named above."
        ),
        "interval": column.TextColumn(
            "95 % interval",
            width=96,
            help="t interval over distilled students (seeds); none for a single seed.",
        ),
        "retention": column.NumberColumn("Retention %", format="%.1f", help=retention_in_words(ranking)),
        "shipped": column.NumberColumn(
            "Of shipped %", format="%.1f", help="The same of the teacher as shipped."
        ),
        "group": column.TextColumn("Group", help="Rows that share a letter cannot be told apart."),
        "n": column.NumberColumn("Seeds", width=62, help="Distilled students with every task."),
        "parameters": column.NumberColumn("Params M", format="%.1f"),
        "without": column.NumberColumn("w/o emb. M", format="%.1f", help="Parameters without embeddings."),
        "latency": column.NumberColumn("Latency ms", format="%.1f"),
        "notes": column.TextColumn(
            "Notes",
            width="medium",
            help=f"What is missing, what else must be known, and flags. At guessing: {AT_GUESSING}.",
        ),
    }
