"""Drawings of a ranking as SVG in the page's own colours: intervals in a table, and quality against cost."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.ranking.pareto import pareto_front
from harness.ranking.render import text
from harness.ranking.render.name_places import BESIDE, Extent, extent, placed_names

BAR, BAR_HEIGHT = 190, 18
"""Pixels of the drawing in one row of the table."""
WIDTH, HEIGHT = 860, 420
LEFT, BELOW = 46, 40
"""Pixels of the trade-off, and of what its axes take."""
COSTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "latency_ms": ("latency", text.milliseconds),
    "parameters": ("parameters", text.count),
}
"""Column -> what it is called, and how a value is written; the first that was measured is drawn."""


def interval_bars(table: pd.DataFrame, teachers: pd.DataFrame) -> list[str]:
    """One drawing a row of `table`: its interval and mean, all on one scale, with teachers' means as dashed lines; hollow
    for one student, empty without a mean."""
    means = [*table["mean"], *teachers["mean"], *table["low"], *table["high"]]
    known = [100 * value for value in means if text.known(value)]
    if not known:
        return [""] * len(table)
    low, high = min(known), max(known)

    def across(value: float) -> float:
        return round(6 + (BAR - 12) * (100 * value - low) / max(high - low, 1e-9), 1)

    lines = "".join(
        f'<line class="of teacher" x1="{across(mean)}" x2="{across(mean)}" y1="0" y2="{BAR_HEIGHT}"/>'
        for mean in teachers["mean"].dropna()
    )
    return [_bar(row, across, lines) for row in table.to_dict("records")]


def _bar(row: dict[Any, Any], across: Callable[[float], float], lines: str) -> str:
    if not text.known(row["mean"]):
        return ""
    middle = BAR_HEIGHT / 2
    drawn = ""
    if text.known(row["low"]) and text.known(row["high"]):
        drawn = f'<line class="bar" x1="{across(row["low"])}" x2="{across(row["high"])}" y1="{middle}" y2="{middle}"/>'
    said = text.plus_minus(row["mean"], row["low"], row["high"])
    return (
        f'<svg class="{row["family"]}" width="{BAR}" height="{BAR_HEIGHT}" role="img" aria-label="{said}">{lines}{drawn}'
        f'<circle class="{_firmness(row)}" cx="{across(row["mean"])}" cy="{middle}" r="4.5"/></svg>'
    )


def _firmness(row: dict[Any, Any]) -> str:
    return "one" if row["n"] <= 1 and row["family"] != "teacher" else "several"


def trade_off(table: pd.DataFrame, labels: pd.Series) -> str:
    """Means against the first of `COSTS` that was measured, names beside the points and the Pareto front; empty where
    nothing was measured."""
    cost = next((name for name in COSTS if (table[name].notna() & table["mean"].notna()).any()), None)
    if cost is None:
        return ""
    rows = table[table["mean"].notna() & table[cost].notna()]
    shown = rows.assign(
        label=rows["config_id"].map(labels),
        cost=rows[cost],
        points=100 * rows["mean"],
        from_=100 * rows["low"],
        to=100 * rows["high"],
    )
    within = extent(shown)
    inner = WIDTH - LEFT, HEIGHT - BELOW
    front = pareto_front(shown[shown["family"] != "teacher"], "cost")
    parts = [
        *_axes(within, *COSTS[cost]),
        *_front(front, within),
        *(_point(row, within) for row in shown.to_dict("records")),
        *(_name(row, within) for row in placed_names(shown, within, *inner).to_dict("records")),
    ]
    title = f"Points against {COSTS[cost][0]}, on a logarithmic axis"
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{title}">{"".join(parts)}</svg>'
    )


def _place(within: Extent, cost: float, points: float) -> tuple[float, float]:
    """Pixels from the left and from above."""
    across = float(within.across(pd.Series([cost]))[0])
    return (
        round(LEFT + across * (WIDTH - LEFT), 1),
        round((within.top - points) / within.span * (HEIGHT - BELOW), 1),
    )


def _axes(within: Extent, name: str, write: Callable[[Any], str]) -> Iterator[str]:
    floor = HEIGHT - BELOW
    for points in _round_numbers(within.bottom, within.top):
        _, y = _place(within, within.low, points)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{points:g}</text>'
    for cost in np.geomspace(within.low, within.high, 7)[1:-1]:
        x, _ = _place(within, float(cost), within.bottom)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{floor}" y2="{floor + 5}"/>'
        yield f'<text x="{x}" y="{floor + 18}" text-anchor="middle">{write(float(f"{cost:.2g}"))}</text>'
    yield f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{name}</text>'


def _round_numbers(low: float, high: float) -> list[float]:
    """About five steps of 1, 2 or 5 in their decimal place."""
    raw = (high - low) / 5
    decimal = 10.0 ** math.floor(math.log10(raw))
    step = next(size * decimal for size in (1, 2, 5, 10) if size * decimal >= raw)
    return [round(index * step, 6) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _front(front: pd.DataFrame, within: Extent) -> Iterator[str]:
    places = [_place(within, cost, points) for cost, points in front[["cost", "points"]].to_numpy(float)]
    if len(places) > 1:
        (x, y), *rest = places
        yield f'<path class="front" d="M{x} {y}{"".join(f"H{right}V{up}" for right, up in rest)}"/>'


def _point(row: dict[Any, Any], within: Extent) -> str:
    x, y = _place(within, row["cost"], row["points"])
    said = f"{html.escape(str(row['label']))}: {text.plus_minus(row['mean'], row['low'], row['high'])}"
    bar = ""
    if text.known(row["from_"]) and text.known(row["to"]):
        ends = [_place(within, row["cost"], value)[1] for value in (row["from_"], row["to"])]
        bar = f'<line class="bar" x1="{x}" x2="{x}" y1="{ends[0]}" y2="{ends[1]}"/>'
    return (
        f'<g class="{row["family"]}"><title>{said}</title>{bar}'
        f'<circle class="{_firmness(row)}" cx="{x}" cy="{y}" r="5"/></g>'
    )


def _name(row: dict[Any, Any], within: Extent) -> str:
    x, y = _place(within, row["name_cost"], row["name_at"])
    return f'<text class="name" x="{x + BESIDE}" y="{y + 4}">{html.escape(row["name"])}</text>'
