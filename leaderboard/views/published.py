"""What others have published, with its source, beside ours where the two measure the same."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.errors import InputError
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.published import (
    PROTOCOLS,
    Group,
    cell_of,
    protocol_in_words,
    published,
    why_not_comparable,
)
from harness.ranking.render import text
from leaderboard import present as data
from leaderboard.wording import row_labels

MOST_ROWS = 10
"""Rows of ours beside a published table."""


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
    """How the reported scores that are stored came about."""
    try:
        return data.query(PROTOCOLS)
    except InputError:
        return pd.DataFrame(columns=["task", "protocol", "split"])


def _beside(group: Group, ours: pd.DataFrame) -> None:
    """Our rows where they may stand beside the group's, how they came about, and why not elsewhere."""
    reasons, protocols, rows = {}, {}, []
    for task in group.tasks:
        ranking = _ranking(task) if cell_of(task)[0] in set(ours["task"]) else None
        shown = ours[ours["protocol"].isin(_protocols(ranking))] if ranking else ours.head(0)
        reasons[task] = why_not_comparable(group, task, shown)
        if ranking and not reasons[task]:
            protocols[task] = protocol_in_words(task, shown)
            rows += _our_rows(ranking, group.tasks[task])
    if rows:
        wide = pd.DataFrame(rows).pivot_table(
            index=["configuration", "seeds"], columns="task", values="points", aggfunc="first", sort=False
        )
        st.markdown("**Ours, on the same task and split**")
        st.dataframe(wide.reset_index(), hide_index=True, width="stretch", placeholder=text.NONE)
        how = "; ".join(f"{group.tasks[task]}: {words}" for task, words in protocols.items())
        st.caption(
            f"{how}. ± 95 % t interval over distilled seeds. The first {MOST_ROWS} by mean; rows that lost seeds come "
            "after complete ones. Published figures have no interval, mostly of one model: a gap within ours is none."
        )
    other = [f"{group.tasks[task]}: {reason}" for task, reason in reasons.items() if reason]
    if other:
        st.caption("Not comparable with ours: " + "; ".join(other) + ".")


def _ranking(task: str) -> Ranking:
    name, language = cell_of(task)
    return data.board().ranking(Filters(tasks=(name,), evaluation=(language,) if language else ()))


def _protocols(ranking: Ranking) -> set[str]:
    """The fine-tuning protocols of the scores that are shown."""
    return set(ranking.scope.cells["protocol"].astype(str))


def _our_rows(ranking: Ranking, heading: str) -> list[dict[str, object]]:
    labels = row_labels(ranking.table)
    shown = ranking.table[ranking.table["mean"].notna()].head(MOST_ROWS)
    return [
        {
            "configuration": labels[str(row["config_id"])],
            "seeds": f"{row['n']}" + (f" ({row['lost']})" if row["lost"] else ""),
            "task": heading,
            "points": text.plus_minus(row["mean"], row["low"], row["high"]),
        }
        for row in shown.to_dict("records")
    ]
