"""What others have published, with its source, beside ours where the two measure the same."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.errors import InputError
from harness.ranking.published import Group, cell_of, published, why_not_comparable
from harness.ranking.render import text
from harness.ranking.scope import Filters
from leaderboard import data
from leaderboard.wording import row_labels


def page() -> None:
    """One table for each group of published models, with our comparable rows below it."""
    st.title("Published figures")
    st.caption(
        "Read from the sources named, in points, as printed there. They were obtained elsewhere, by "
        "other code."
    )
    ours = _ours()
    for group in published():
        st.subheader(group.name)
        st.markdown(f"[{group.source}]({group.url}) · {group.protocol}")
        names = {"name": "model", "parameters": "params"} | group.tasks
        shown = group.models.dropna(axis=1, how="all").rename(columns=names)
        number = st.column_config.NumberColumn(format="%.1f")
        st.dataframe(
            shown,
            hide_index=True,
            width="stretch",
            placeholder=text.NONE,
            column_config=dict.fromkeys(group.tasks.values(), number),
        )
        if group.split is not None:
            _beside(group, ours)


def _ours() -> pd.DataFrame:
    """The reported scores that are stored, as far as comparability goes."""
    columns = ["task", "split", "languages", "train_rows"]
    try:
        return data.query(
            "SELECT s.task, s.split, count(DISTINCT s.language) AS languages, "
            "any_value(TRY_CAST(t.config->>'$.recipe.train_rows' AS BIGINT)) AS train_rows "
            "FROM scores s JOIN trials t USING (trial_id) WHERE s.reported AND s.selected GROUP BY "
            "s.task, s.split, t.protocol"
        )
    except InputError:
        return pd.DataFrame(columns=columns)


def _beside(group: Group, ours: pd.DataFrame) -> None:
    """Our rows where they may stand beside the group's, and why not elsewhere."""
    reasons = {task: why_not_comparable(group, task, ours) for task in group.tasks}
    comparable = [task for task, reason in reasons.items() if not reason]
    rows = [row for task in comparable for row in _our_rows(group, task)]
    if rows:
        long = pd.DataFrame(rows)
        wide = long.pivot_table(
            index=["configuration", "seeds"], columns="task", values="points", sort=False
        ).reset_index()
        st.markdown("**Ours, on the same task and split**")
        number = st.column_config.NumberColumn(format="%.1f")
        st.dataframe(
            wide,
            hide_index=True,
            width="stretch",
            placeholder=text.NONE,
            column_config={group.tasks[task]: number for task in comparable},
        )
    other = [f"{group.tasks[task]}: {reason}" for task, reason in reasons.items() if reason]
    if other:
        st.caption("Not comparable with ours: " + "; ".join(other) + ".")


def _our_rows(group: Group, task: str) -> list[dict[str, object]]:
    name, language = cell_of(task)
    ranking = data.board().ranking(Filters(tasks=(name,), evaluation=(language,) if language else ()))
    labels = row_labels(ranking.table)
    shown = ranking.table[ranking.table["mean"].notna()].head(10)
    return [
        {
            "configuration": labels[str(row.config_id)],
            "seeds": row.n,
            "task": group.tasks[task],
            "points": float(text.points(row.score, 2)),
        }
        for row in shown.rename(columns={"mean": "score"}).itertuples()
    ]
