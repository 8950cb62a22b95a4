"""What others have published, with its source, beside ours where the two measure the same."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from harness.counted import counted
from harness.errors import InputError
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.openings import published_sentence
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
from leaderboard.page import counted_out
from leaderboard.wording import row_labels

MOST_ROWS = 10
"""Rows of ours beside a published table."""


def page() -> None:
    """How many published tables ours may stand beside; these first, each with our comparable rows below it."""
    st.title("Published figures")
    ours = _ours()
    groups = {group.name: group for group in published()}
    beside = {name: _beside(group, ours) for name, group in groups.items() if group.split is not None}
    order = sorted(groups, key=lambda name: not (name in beside and beside[name].rows))
    st.markdown(published_sentence(order, [name for name in order if name in beside and beside[name].rows]))
    st.caption(
        "Read from the sources named, in points, as printed there. They were obtained elsewhere, by "
        "other code."
    )
    for name in order:
        _table(groups[name])
        if name in beside:
            _draw_beside(groups[name], beside[name])
    if not ours.empty:
        counted_out(data.board(), Filters())


def _table(group: Group) -> None:
    """The figures of one group as its source gives them."""
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


def _ours() -> pd.DataFrame:
    """How the reported scores that are stored came about."""
    try:
        return data.query(PROTOCOLS)
    except InputError:
        return pd.DataFrame(columns=["task", "protocol", "split"])


@dataclass(frozen=True)
class Beside:
    """What of ours may stand beside a group."""

    rows: list[dict[str, object]]
    protocols: dict[str, str]
    """Task -> how our scores came about, where they may."""
    reasons: dict[str, str]
    """Task -> why they may not, elsewhere."""
    further: int
    """Rows below those that are shown, on the task with most."""


def _beside(group: Group, ours: pd.DataFrame) -> Beside:
    """Our rows where they may stand beside the group's, how they came about, and why not elsewhere."""
    reasons, protocols, rows, further = {}, {}, [], 0
    for task in group.tasks:
        ranking = _ranking(task) if cell_of(task)[0] in set(ours["task"]) else None
        shown = ours[ours["protocol"].isin(_protocols(ranking))] if ranking else ours.head(0)
        reason = why_not_comparable(group, task, shown)
        if reason:
            reasons[task] = reason
        elif ranking:
            protocols[task] = protocol_in_words(task, shown)
            rows += _our_rows(ranking, group.tasks[task])
            further = max(further, int(ranking.table["mean"].notna().sum()) - MOST_ROWS)
    return Beside(rows, protocols, reasons, further)


def _draw_beside(group: Group, ours: Beside) -> None:
    if ours.rows:
        wide = pd.DataFrame(ours.rows).pivot_table(
            index=["configuration", "seeds"], columns="task", values="points", aggfunc="first", sort=False
        )
        st.markdown("**Ours, on the same task and split**")
        st.dataframe(wide.reset_index(), hide_index=True, width="stretch", placeholder=text.NONE)
        tasks_of: dict[str, list[str]] = {}
        for task, words in ours.protocols.items():
            tasks_of.setdefault(words, []).append(group.tasks[task])
        how = "; ".join(f"{', '.join(tasks)}: {words}" for words, tasks in tasks_of.items())
        st.caption(
            f"{how}. ± 95 % t interval over distilled seeds. The first {MOST_ROWS} by mean"
            + (f" ({counted(ours.further, 'row')} further down not shown)" if ours.further > 0 else "")
            + "; rows that lost seeds come after complete ones. Published figures have no interval, mostly of one model: a "
            "gap within ours is none."
        )
    other = [f"{group.tasks[task]}: {reason}" for task, reason in ours.reasons.items()]
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
