"""The suite above a page and the filters beside it. Each is bound to the query string, so that an address brings back what
was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.render.language_names import language_name, languages_in_words

BOUND: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
"""What every widget shares: its value lives in the address and survives a change of page."""


def sidebar(board: Board, *, suite: bool = True) -> Filters:
    """Draw the suites as tabs and the filters that leave a choice, and return what they are set to."""
    choices = board.choices()
    picked = _suite(choices["suite"]) if suite and choices["suite"] else None
    with st.sidebar:
        tasks, languages = board.once(("offered", picked), lambda: _offered(board.frames.cells, picked))
        filters = Filters(
            suite=picked,
            tasks=several("Tasks", tasks, "task"),
            evaluation=several("Evaluated in", languages, "lang", format_func=language_name),
            student=several("Student", choices["student"], "student"),
            teacher=several("Teacher", choices["teacher"], "teacher"),
            language=several("Distilled on", choices["language"], "corpus", format_func=languages_in_words),
            family=several("Family", choices["family"], "family"),
        )
        return _advanced(board, filters)


def _suite(suites: list[str]) -> str:
    """The suite that is shown; drawn only where there are several."""
    if len(suites) < 2:
        return suites[0]
    picked = st.segmented_control(
        "Suite", suites, default=suites[0], key="suite", required=True, label_visibility="collapsed", **BOUND
    )
    return str(picked)


def one_setting(board: Board, filters: Filters) -> Filters:
    """The filters with one row a method and student, unless every setting is asked for; a choice where that differs."""
    one = replace(filters, one_setting=True)
    every = board.ranking(filters).ranked
    if len(every) == len(board.ranking(one).ranked):
        return one
    shown = st.toggle(
        f"All {len(every)} settings, not only the best by dev of each method and student",
        key="settings",
        help="Dev scores alone choose. Ranks hold either way, as they are corrected for all settings.",
        **BOUND,
    )
    return filters if shown else one


def _offered(cells: pd.DataFrame, suite: str | None) -> tuple[list[str], list[str]]:
    """Tasks and languages of a suite, by name."""
    names = cells[["task", "language"]]
    inside = names[cells["suite"] == suite] if suite else names
    tasks, languages = (sorted(map(str, inside[column].unique())) for column in names)
    return tasks, languages


def _advanced(board: Board, filters: Filters) -> Filters:
    timed = board.timings()
    labels = {
        f"{row.device} · {row.protocol}": (str(row.protocol), str(row.fingerprint))
        for row in timed.itertuples()
    }
    pooled = st.toggle(
        "Common variance",
        key="pooled",
        help="Estimate one variance from all configurations. Intervals get narrower where seeds are few, "
        "and hold only if configurations scatter alike.",
        **BOUND,
    )
    timing = labels[one("Latency measured on", list(labels), "timing")] if len(labels) > 1 else (None, None)
    milestones = bool(board.frames.cells["milestone"].notna().any()) and st.toggle(
        "Intermediate students",
        key="milestones",
        help="Rank students exported before the last step, too.",
        **BOUND,
    )
    return Filters(
        **{
            **filters.__dict__,
            "pooled": pooled,
            "milestones": milestones,
            "latency_protocol": timing[0],
            "fingerprint": timing[1],
        }
    )


def one(label: str, options: Sequence[str], key: str, **kwargs: Any) -> str:
    """Pick one; drawn only where there is more than one."""
    if len(options) < 2:
        return options[0]
    return str(st.selectbox(label, options, key=key, **BOUND, **kwargs))


def several(
    label: str, options: Sequence[str], key: str, format_func: Callable[[str], str] = str, **kwargs: Any
) -> tuple[str, ...]:
    """Pick any; none means all. Drawn only where there is more than one."""
    if len(options) < 2:
        return ()
    return tuple(
        st.multiselect(label, options, key=key, placeholder="all", format_func=format_func, **BOUND, **kwargs)
    )


def from_address(key: str, known: Sequence[str]) -> None:
    """Set the widget `key` to what the address names, on arrival and when a link changes it.

    Streamlit's own binding writes a widget's labels into the address; rows and trials are named there by
    their ids, which stay what they are when labels change. `to_address` is the way back.
    """
    named = st.query_params.get_all(key)
    if named and named != st.session_state.get(f"{key}_in_address"):
        st.session_state[f"{key}_in_address"] = named
        st.session_state[key] = [value for value in named if value in set(known)]


def to_address(key: str, values: Sequence[str]) -> None:
    """Write the ids that the widget `key` is set to into the address."""
    st.session_state[f"{key}_in_address"] = list(values)
    if values:
        st.query_params[key] = list(values)
    else:
        st.query_params.pop(key, None)
