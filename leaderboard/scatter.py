"""The chart of quality against cost, with names beside its points."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from leaderboard.figures import Layered, marks, spans
from leaderboard.theme import colour, shape

TALL, LINE = 460, 13
"""Pixels: the height of the trade-off, and of a name in it."""
MOST_NAMES = 14
"""Names in one stack of points."""


def trade_off(
    rows: pd.DataFrame,
    front: pd.DataFrame,
    cost: str,
    title: str,
    budget: float | None,
    y_title: str,
    ink: str,
) -> Layered:
    """Quality against a cost on a logarithmic axis, the Pareto front as a line, and a name beside every point that has
    room for one, written in `ink`. `rows`: label, student, family, mean, low, high, n, cost column.
    """
    shown = rows.assign(
        points=100 * rows["mean"],
        from_=100 * rows["low"],
        to=100 * rows["high"],
        span=spans(rows),
        cost=rows[cost],
    )
    families = shown["family"].unique().tolist()
    low, high, bottom, top = _extent(shown)
    axis = alt.Axis(format="~s", grid=False, tickCount=6)
    scale = alt.Scale(type="log", nice=False, domain=[low, high])
    x = alt.X("cost:Q", scale=scale, title=title, axis=axis)
    heights = alt.Scale(domain=[bottom, top], nice=False, zero=False)
    y = alt.Y("points:Q", scale=heights, title=y_title)
    hover = [
        alt.Tooltip("label:N", title="configuration"),
        alt.Tooltip("points:Q", format=".2f", title="mean"),
        alt.Tooltip("span:N", title="95 % interval"),
        alt.Tooltip("n:Q", title="seeds"),
        alt.Tooltip("cost:Q", format=",.4~g", title=title),
    ]
    base = alt.Chart(shown)
    layers: list[Any] = []
    if budget is not None:
        limit = pd.DataFrame({"cost": [budget]})
        layers.append(alt.Chart(limit).mark_rule(strokeDash=[2, 3], color="#dc2626").encode(x=x))
    if len(front) > 1:
        line = alt.Chart(front.assign(points=100 * front["mean"], cost=front[cost]))
        layers.append(
            line.mark_line(interpolate="step-after", strokeWidth=1.5, opacity=0.55, color="#8b95a1").encode(
                x=x, y=y
            )
        )
    layers.append(
        base.mark_rule(opacity=0.35, strokeWidth=1.5).encode(
            x=x, y=alt.Y("from_:Q", scale=heights), y2="to:Q", color=colour(families)
        )
    )
    layers += [
        layer.encode(x=x, y=y, color=colour(families), shape=shape(families), tooltip=hover)
        for layer in marks(base, 95)
    ]
    names = alt.Chart(_beside(shown, top - bottom))
    layers.append(
        names.mark_text(align="left", dx=11, fontSize=10, color=ink).encode(
            x=x, y=alt.Y("name_at:Q", scale=heights), text="name:N", tooltip=hover
        )
    )
    return alt.layer(*layers).properties(height=TALL)


def _extent(shown: pd.DataFrame) -> tuple[float, float, float, float]:
    """Bounds of cost and points, with room for intervals below and above and for names to the right."""
    low, high = float(shown["cost"].min()), float(shown["cost"].max())
    width = max(high / low, 1.5)
    ends = shown[["points", "from_", "to"]].to_numpy(dtype=float)
    bottom, top = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = max((top - bottom) * 0.06, 0.5)
    return low / width**0.05, high * width**0.3, bottom - room, top + room


def _beside(shown: pd.DataFrame, span: float) -> pd.DataFrame:
    """Where the names stand: students of one shape cost the same and would be a stack, so that their names are pushed
    apart, in the order of the points; of a stack that is too high the best are named, and the last name counts the rest."""
    gap = span * LINE / TALL
    named = []
    for _, stack in shown.groupby("cost"):
        ordered = stack.sort_values("points", ascending=False, kind="stable")
        room = min(len(ordered), MOST_NAMES)
        names = _stacked_names(ordered)
        if len(ordered) > room:
            names[room - 1] = f"and {len(ordered) - room + 1} more below"
        at = np.array(ordered["points"][:room], dtype=float)
        at[0] += 0.6 * gap  # above the front, which runs to the right from the best
        for index in range(1, room):
            at[index] = min(at[index], at[index - 1] - gap)
        named.append(
            ordered.head(room).assign(name=names[:room], name_at=at + max(0.0, _overhang(shown, at, gap)))
        )
    return pd.concat(named)


def _stacked_names(ordered: pd.DataFrame) -> list[str]:
    """The names of a stack from its top: the shape that they share is said once, a single student is said to be one."""
    names: list[str] = []
    for row in ordered[["label", "student", "family", "n"]].to_dict("records"):
        same = names and row["student"] == ordered["student"].iloc[0]
        name = str(row["label"]).replace(f" · {row['student']}", "") if same else str(row["label"])
        names.append(f"{name} (1 seed)" if row["n"] <= 1 and row["family"] != "teacher" else name)
    return names


def _overhang(shown: pd.DataFrame, at: np.ndarray, gap: float) -> float:
    """How far the lowest name of a stack hangs below the lowest point of the chart."""
    return float(np.nanmin(shown[["points", "from_"]].to_numpy(dtype=float)) - at[-1] - gap / 2)
