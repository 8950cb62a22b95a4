"""Quality against what it costs: latency, parameters, FLOPs; the Pareto front, and the best within a budget."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.pareto import Best, answer_in_words, best_within, pareto_front
from harness.ranking.render import text
from harness.ranking.render.retention import retention_in_words
from leaderboard.filters import BOUND, one_setting, sidebar
from leaderboard.page import counted_out, opened
from leaderboard.scatter import trade_off
from leaderboard.theme import ink, legible
from leaderboard.wording import row_labels

COSTS = {
    "latency_ms": ("Latency", "latency, ms", text.milliseconds),
    "parameters": ("Parameters", "parameters", text.count),
    "parameters_without_embeddings": (
        "Parameters w/o embeddings",
        "parameters without embeddings",
        text.count,
    ),
    "flops": ("FLOPs", "FLOPs of one sequence", text.count),
}
"""Column -> name, axis title, how a value is written."""
STEPS = 60
"""Positions of the budget slider, evenly spaced on a logarithmic scale."""


def page() -> None:
    """Score against one cost, with the Pareto front and the best student within a budget."""
    board = opened("Trade-off")
    if board is None:
        return
    every = sidebar(board)
    filters = one_setting(board, every)
    ranking = board.ranking(filters)
    available = [cost for cost in COSTS if ranking.table[cost].notna().any()]
    if not available:
        st.info(
            "Nothing has been measured yet: `measure` trials run after training. `measure: "
            "{enabled: true}` in a spec asks for them."
        )
        return
    cost = st.segmented_control(
        "Cost",
        available,
        format_func=lambda name: COSTS[name][0],
        default=available[0],
        key="cost",
        required=True,
        label_visibility="collapsed",
        **BOUND,
    )
    labels = row_labels(ranking.table)
    rows = ranking.table[ranking.table["mean"].notna() & ranking.table[cost].notna()]
    rows = rows.assign(label=rows["config_id"].map(labels))
    if rows.empty:
        st.info("No row under these filters has both a score and this measure.")
        return
    students = rows[rows["family"] != "teacher"]
    budget = _budget(students[cost] if len(students) else rows[cost], cost)
    _answer(best_within(students, cost, budget, tested=board.ranking(every).ranked), cost, budget)
    columns = ["label", "student", "family", "mean", "low", "high", "n", cost]
    front = pareto_front(students, cost)
    chart = trade_off(
        rows[columns],
        front[["mean", cost]],
        cost,
        COSTS[cost][1],
        budget if budget < students[cost].max() else None,
        f"{filters.suite or 'all suites'}, points",
        ink(),
    )
    st.altair_chart(chart.configure(**legible()), width="stretch")
    st.caption(
        "Grey line: Pareto front of the complete students by mean, which nothing cheaper beats; neighbours on it may "
        "not be told apart. Vertical bars: 95 % intervals. Hollow: one student, whose spread is not known. Dotted: "
        "the budget."
    )
    _front_table(front, cost, retention_in_words(ranking))
    _protocol(board, filters)
    counted_out(board, filters)


def _budget(costs: pd.Series, cost: str) -> float:
    low, high = float(costs.min()), float(costs.max())
    if not low < high:
        return high
    options = [float(f"{low * (high / low) ** (i / STEPS):.3g}") for i in range(STEPS)]
    options = sorted({max(value, low) for value in options} | {high * 1.0001})
    chosen = st.select_slider(
        f"Budget: {COSTS[cost][1]}",
        options,
        value=options[-1],
        format_func=COSTS[cost][2],
        key=f"budget_{cost}",
        **BOUND,
    )
    return float(chosen)


def _answer(best: Best | None, cost: str, budget: float) -> None:
    show = COSTS[cost][2]
    if best is None:
        st.markdown(f"No student fits into {show(budget)}.")
        return
    words = answer_in_words(best, best.row["label"], best.ties["label"].tolist())
    st.markdown(f"Best under {show(budget)}: {words}. It costs {show(best.row[cost])}.")


def _front_table(front: pd.DataFrame, cost: str, said: str) -> None:
    with st.expander("The Pareto front as a table"):
        shown = pd.DataFrame(
            {
                "configuration": front["label"],
                COSTS[cost][1]: [COSTS[cost][2](value) for value in front[cost]],
                "points": [text.plus_minus(*row) for row in front[["mean", "low", "high"]].to_numpy()],
                "seeds": front["n"],
                "retention": [text.share(value) for value in front["retention"]],
            }
        )
        st.dataframe(shown, hide_index=True, width="stretch")
        st.caption(said)


def _protocol(board: Board, filters: Filters) -> None:
    timed = board.timings()
    lines = []
    if len(timed):
        chosen = timed[timed["protocol"] == filters.latency_protocol] if filters.latency_protocol else timed
        first = chosen.iloc[0]
        lines.append(f"Latency: {first['protocol']}; {first['device']} ({first['fingerprint']}).")
    counted = board.frames.measurements[
        board.frames.measurements["metric"].isin(["parameters", "parameters_without_embeddings", "flops"])
    ]
    lines += [
        f"{COSTS[str(metric)][0]}: {rows['protocol'].iloc[0]}." for metric, rows in counted.groupby("metric")
    ]
    if lines:
        st.caption("  \n".join(line[0].upper() + line[1:] for line in lines))
