"""Charts of rankings and comparisons: from frames to Altair, nothing read and nothing computed but positions."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import altair as alt
import pandas as pd

from harness.ranking.cells.scope import FAMILIES
from harness.ranking.render import text
from leaderboard.theme import COLOURS, SHAPES, colour, shape

Layered = alt.LayerChart | alt.FacetChart
ROW = 22
"""Pixels a row of a chart takes."""
DARK = 0.42
"""Up to here viridis is dark enough for white letters."""


def _names(most: int) -> alt.Axis:
    """An axis of names, each beside its row."""
    return alt.Axis(
        labelLimit=most, ticks=False, domain=False, labelFlush=False, labelPadding=8, labelOverlap=False
    )


def forest(rows: pd.DataFrame, teacher: pd.DataFrame, title: str) -> dict[str, Any]:
    """Means with their intervals, best at the top; teachers as dashed lines.

    `rows`: label, family, mean, low, high, n, rank_text. `teacher`: label, mean. Returns Vega-Lite with its data
    beside it: Altair writes and checks the drawing once, as doing so takes longer than a ranking.
    """
    shown = rows.assign(
        points=100 * rows["mean"], from_=100 * rows["low"], to=100 * rows["high"], span=spans(rows)
    )
    spec = deepcopy(_forest(title, len(teacher) > 0))
    families = [family for family in FAMILIES if family in set(shown["family"])]
    for encoding in (layer["encoding"] for layer in spec["layer"]):
        for channel, looks in (("color", COLOURS), ("shape", SHAPES)):
            if channel in encoding:
                scale = {"domain": families, "range": [looks[family] for family in families]}
                encoding[channel]["scale"] = scale
        if "y" in encoding:
            encoding["y"]["sort"] = shown["label"].tolist()
    lines = teacher.assign(points=100 * teacher["mean"])
    return spec | {"datasets": {"rows": shown, "teachers": lines}}


@cache
def _forest(title: str, teachers: bool) -> dict[str, Any]:
    """The drawing without what changes with its rows: families, their looks, and the order of labels."""
    y = alt.Y("label:N", title=None, axis=_names(340))
    axis = alt.Axis(tickCount=8, format=".2~f")
    x = alt.X("points:Q", scale=alt.Scale(zero=False, padding=12), title=title, axis=axis)
    hover = [
        alt.Tooltip("label:N", title="configuration"),
        alt.Tooltip("points:Q", title="mean", format=".2f"),
        alt.Tooltip("span:N", title="95 % interval"),
        alt.Tooltip("rank_text:N", title="rank (range)"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    base = alt.Chart(alt.NamedData("rows"))
    bars = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(
        x="from_:Q", x2="to:Q", y=y, color=colour([]), tooltip=hover
    )
    dots = [
        layer.encode(x=x, y=y, color=colour([]), shape=shape([]), tooltip=hover) for layer in marks(base, 85)
    ]
    alone = _one_seed(base).encode(x=x, y=y)
    lines = (
        alt.Chart(alt.NamedData("teachers"))
        .mark_rule(strokeDash=[4, 4], opacity=0.6, color=COLOURS["teacher"])
        .encode(
            x="points:Q",
            tooltip=[
                alt.Tooltip("label:N", title="teacher"),
                alt.Tooltip("points:Q", format=".2f", title="mean"),
            ],
        )
    )
    layers: list[Any] = [*([lines] if teachers else []), bars, *dots, alone]
    spec: dict[str, Any] = alt.layer(*layers).properties(height=alt.Step(ROW)).to_dict()
    spec.pop("config", None)  # Altair's own theme, where no other session has put it aside; the page has one
    return spec


def marks(base: alt.Chart, size: int) -> list[alt.Chart]:
    """Filled points for rows of several seeds; hollow, thin ones for a single seed, which says nothing of its spread."""
    firm = (alt.datum.n > 1) | (alt.datum.family == "teacher")
    several = base.transform_filter(firm).mark_point(size=size, filled=True, opacity=1)
    single = base.transform_filter(~firm).mark_point(size=size, filled=False, strokeWidth=1.5, opacity=0.8)
    return [several, single]


def _one_seed(base: alt.Chart) -> alt.Chart:
    """`1 seed` beside each hollow point."""
    return base.transform_filter(alt.datum.n <= 1).mark_text(
        text="1 seed", align="left", dx=9, fontSize=10, color="#8b95a1"
    )


def spans(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["low"], rows["high"], strict=True)
    return [text.interval(low, high) or "none: one student" for low, high in pairs]


def by_column(values: pd.Series, columns: pd.Series) -> pd.Series:
    """Where each value lies between the lowest (0) and the highest (1) of its column, as a shade."""
    of_column = values.groupby(columns)
    low, width = of_column.transform("min"), of_column.transform("max") - of_column.transform("min")
    return ((values - low) / width.where(width > 0)).fillna(0.5)


def heat_map(cells: pd.DataFrame, rows: list[str], columns: list[str], title: str, angle: int = 0) -> Layered:
    """Rows × columns, each cell with its number. `cells`: label, column, number (as it is written there),
    shade (what colours it), shown (on a closer look). `angle`: of the columns' names; those of many
    columns stand aslant, and the map then keeps its width.
    """
    lowest, highest = cells["shade"].min(), cells["shade"].max()
    dark = lowest + DARK * (highest - lowest)
    base = alt.Chart(cells).encode(
        x=alt.X(
            "column:N",
            sort=columns,
            title=None,
            axis=alt.Axis(
                orient="top",
                labelAngle=angle,
                ticks=False,
                domain=False,
                labelFlush=False,
                labelOverlap=False,
            ),
        ),
        y=alt.Y("label:N", sort=rows, title=None, axis=_names(300)),
    )
    boxes = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color("shade:Q", scale=alt.Scale(scheme="viridis"), legend=None),
        tooltip=[
            alt.Tooltip("label:N", title="configuration"),
            alt.Tooltip("column:N", title="where"),
            alt.Tooltip("shown:N", title=title),
        ],
    )
    ink = alt.condition(alt.datum.shade > dark, alt.value("#1c2128"), alt.value("white"))
    numbers = base.mark_text(fontSize=11).encode(text="number:N", color=ink)
    size = {"height": alt.Step(26)} | ({"width": alt.Step(46)} if angle else {})
    return (boxes + numbers).properties(**size)


def differences(rows: pd.DataFrame, title: str) -> Layered:
    """Differences with intervals about zero. `rows`: label, difference, low, high (points), separable, n_a, n_b;
    hollow where either is a single student."""
    shown = rows.assign(
        span=[
            f"{low:.1f} to {high:.1f}" if text.known(low) else "none"
            for low, high in zip(rows["low"], rows["high"], strict=True)
        ]
    )
    y = alt.Y("label:N", sort=shown["label"].tolist(), title=None, axis=_names(300))
    tone = alt.Color(
        "separable:N",
        scale=alt.Scale(domain=[True, False], range=["#0d9f6e", "#8b95a1"]),
        legend=None,
    )
    base = alt.Chart(shown)
    zero = alt.Chart(pd.DataFrame({"x": [0.0]})).mark_rule(opacity=0.5).encode(x="x:Q")
    hover = [
        alt.Tooltip("label:N", title="task"),
        alt.Tooltip("difference:Q", format="+.2f"),
        alt.Tooltip("span:N", title="interval"),
    ]
    bars = base.mark_rule(strokeWidth=2.5, opacity=0.6).encode(
        x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=tone, tooltip=hover
    )
    dots = [
        layer.encode(x="difference:Q", y=y, color=tone, tooltip=hover)
        for layer in marks(base.transform_calculate(n="min(datum.n_a, datum.n_b)"), 80)
    ]
    return alt.layer(zero, bars, *dots).properties(height=alt.Step(ROW + 4))


def average_ranks(rows: pd.DataFrame) -> Layered:
    """Average ranks, the best at the top, with bars as wide as the critical difference. `rows`: label, rank, low, high."""
    y = alt.Y("label:N", sort=rows["label"].tolist(), title=None, axis=_names(300))
    x = alt.X("rank:Q", title="average rank over tasks", scale=alt.Scale(zero=False, padding=15))
    hover = [alt.Tooltip("label:N", title="configuration"), alt.Tooltip("rank:Q", format=".2f")]
    base = alt.Chart(rows)
    bars = base.mark_rule(strokeWidth=2.5, opacity=0.55, color="#8b95a1").encode(
        x="low:Q", x2="high:Q", y=y, tooltip=hover
    )
    dots = base.mark_point(size=75, filled=True, opacity=1, color="#8b95a1").encode(x=x, y=y, tooltip=hover)
    return (bars + dots).properties(height=alt.Step(ROW + 4))


def curves(
    points: pd.DataFrame, value: str, title: str, series: str = "term", *, log: bool = False
) -> alt.Chart:
    """A value over steps, one line a series."""
    kinds = points[series].nunique()
    return (
        alt.Chart(points)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format=",.0f", grid=False, tickCount=8)),
            y=alt.Y(f"{value}:Q", title=title, scale=alt.Scale(zero=False, type="log" if log else "linear")),
            color=alt.Color(
                f"{series}:N",
                legend=alt.Legend(title=None, orient="bottom", columns=2, labelLimit=380)
                if kinds > 1
                else None,
            ),
            tooltip=[alt.Tooltip(f"{series}:N"), "step:Q", alt.Tooltip(f"{value}:Q", format=".4g")],
        )
        .properties(height=280 + 12 * kinds)
    )


def quality_over_tokens(points: pd.DataFrame, title: str) -> Layered:
    """Quality of intermediate students over the tokens they had seen, one line a series, with intervals
    where there are any. `points`: series, tokens, step, mean, low, high (fractions), n.
    """
    shown = points.assign(
        points=100 * points["mean"], from_=100 * points["low"], to=100 * points["high"], span=spans(points)
    )
    kinds = shown["series"].unique().tolist()
    x = alt.X("tokens:Q", title="training tokens", axis=alt.Axis(format="~s", grid=False, tickCount=8))
    y = alt.Y("points:Q", title=title, scale=alt.Scale(zero=False, padding=12))
    legend = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=380, symbolOpacity=1)
    tone = alt.Color("series:N", sort=kinds, legend=legend if len(kinds) > 1 else None)
    hover = [
        alt.Tooltip("series:N", title="what"),
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("tokens:Q", format=".3~s"),
        alt.Tooltip("points:Q", format=".2f", title="mean"),
        alt.Tooltip("span:N", title="95 % interval"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    base = alt.Chart(shown)
    bars = base.mark_rule(opacity=0.4, strokeWidth=1.5).encode(x=x, y="from_:Q", y2="to:Q", color=tone)
    line = base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=tone)
    dots = base.mark_point(size=60, filled=True, opacity=1).encode(x=x, y=y, color=tone, tooltip=hover)
    return (bars + line + dots).properties(height=280 + 12 * len(kinds))


def layer_map(pairs: pd.DataFrame, teacher_layers: int, student_layers: int) -> Layered:
    """A mapping drawn: student layers on the left, teacher layers on the right. `pairs`: student, teacher
    (0 is the embedding output).
    """
    top = max(teacher_layers, 1)
    nodes = pd.DataFrame(
        [(0, i * top / student_layers, i, "student") for i in range(student_layers + 1)]
        + [(1, float(j), j, "teacher") for j in range(teacher_layers + 1)],
        columns=["x", "y", "layer", "side"],
    )
    lines = pairs.assign(
        x=0, y=pairs["student"] * top / student_layers, x2=1, y2=pairs["teacher"].astype(float)
    )
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.12, 1.12]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-0.6, top + 0.6]))
    links = (
        alt.Chart(lines)
        .mark_rule(strokeWidth=1.6, opacity=0.7, color="#3b82f6")
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q", tooltip=["student:Q", "teacher:Q"])
    )
    dots = (
        alt.Chart(nodes)
        .mark_circle(size=190, opacity=1, color="#8b95a1")
        .encode(x=x, y=y, tooltip=["side:N", "layer:Q"])
    )
    names = alt.Chart(nodes).mark_text(fontSize=9, color="white").encode(x=x, y=y, text="layer:N")
    return (links + dots + names).properties(height=230)


def layer_heat_maps(cells: pd.DataFrame, title: str) -> Layered:
    """Student layers × teacher layers, a heat map a method, all on one scale. `cells`: label, student_layer,
    teacher_layer, value, n."""
    maps = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X("teacher_layer:O", title="teacher layer", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("student_layer:O", title="student layer", sort="descending"),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(title=None)),
            tooltip=[
                alt.Tooltip("label:N", title="method"),
                alt.Tooltip("student_layer:O"),
                alt.Tooltip("teacher_layer:O"),
                alt.Tooltip("value:Q", format=".3f", title=title),
                alt.Tooltip("n:Q", title="students"),
            ],
        )
        .properties(width=240, height=alt.Step(20))
    )
    return alt.layer(maps, data=cells).facet(facet=alt.Facet("label:N", title=None), columns=3)
