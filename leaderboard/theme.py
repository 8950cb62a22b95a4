"""Colours and shapes that mean the same on every page, in light and in dark."""

from __future__ import annotations

from typing import Any

import altair as alt
import streamlit as st

from harness.ranking.cells.scope import FAMILIES
from harness.ranking.render.colours import COLOURS as COLOURS

SHAPES = {
    "OD": "square",
    "HS": "circle",
    "MHA": "triangle-up",
    "composite": "diamond",
    "control": "cross",
    "external": "triangle-down",
    "teacher": "triangle-right",
}
NAMES = {
    "OD": "output distribution",
    "HS": "hidden states",
    "MHA": "attention",
    "composite": "several kinds of knowledge",
    "control": "no teacher, or no distillation",
    "external": "published checkpoints",
    "teacher": "the teachers",
}
STATES = {
    "ok": "#0d9f6e",
    "running": "#3b82f6",
    "planned": "#b6bec8",
    "failed": "#dc2626",
    "pruned": "#8b95a1",
}
"""Status of a trial -> colour."""


def ink() -> str:
    """The colour of words on the page as it is shown."""
    return "#e6e8eb" if st.context.theme.type == "dark" else "#1c2128"


def legible() -> dict[str, Any]:
    """Vega-Lite's configuration in which axes and legends are as dark, or as light, as the words of the page."""
    words = {"labelColor": ink(), "titleColor": ink()}
    return {"axis": words, "legend": words}


def colour(families: list[str], title: str | None = "Family") -> alt.Color:
    """Families by colour, in the order of `FAMILIES`."""
    shown = [family for family in FAMILIES if family in families]
    scale = alt.Scale(domain=shown, range=[COLOURS[family] for family in shown])
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, columns=4) if title else None
    return alt.Color("family:N", scale=scale, legend=legend)


def shape(families: list[str]) -> alt.Shape:
    """Families by shape, for readers who cannot tell the colours apart."""
    shown = [family for family in FAMILIES if family in families]
    return alt.Shape(
        "family:N", scale=alt.Scale(domain=shown, range=[SHAPES[family] for family in shown]), legend=None
    )
