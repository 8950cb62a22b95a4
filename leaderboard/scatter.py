"""The chart of quality against cost, with names beside its points."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from harness.ranking.render.name_places import BESIDE, Extent, extent, placed_names
from leaderboard.figures import Layered, marks, spans
from leaderboard.theme import colour, shape

TALL, PLOT = 520, 360
"""Pixels: the height of the trade-off, and of what axis and legend leave for its points at least."""
WIDTHS = (280, 380, 500, 640, 780, 920)
"""Pixels of charts for which names are placed; each holds until the next."""


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
    within = extent(shown)
    axis = alt.Axis(format="~s", grid=False, tickCount=6)
    scale = alt.Scale(type="log", nice=False, domain=[within.low, within.high])
    x = alt.X("cost:Q", scale=scale, title=title, axis=axis)
    heights = alt.Scale(domain=[within.bottom, within.top], nice=False, zero=False)
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
    layers.append(
        alt.Chart(_names_by_width(shown, within))
        .transform_filter("width >= datum.from_width && width < datum.to_width")
        .mark_text(align="left", dx=BESIDE, fontSize=10, color=ink)
        .encode(
            x=alt.X("name_cost:Q", scale=scale),
            y=alt.Y("name_at:Q", scale=heights),
            text="name:N",
            tooltip=hover,
        )
    )
    return alt.layer(*layers).properties(height=TALL)


def _names_by_width(shown: pd.DataFrame, within: Extent) -> pd.DataFrame:
    """Where names stand on a chart as wide as the reader's screen leaves room for, which only the browser knows."""
    named = shown[["label", "student", "family", "n", "span", "cost", "points", "from_"]]
    ends = [*WIDTHS[1:], float(2**20)]
    return pd.concat(
        placed_names(named, within, width, PLOT).assign(
            from_width=0 if width == WIDTHS[0] else width, to_width=end
        )
        for width, end in zip(WIDTHS, ends, strict=True)
    )
