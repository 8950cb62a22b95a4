"""Figures as SVG, one for light pages and one for dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from harness.files import write_atomically

INK = {"light": ("#1c2128", "#d0d7de", "#ffffff"), "dark": ("#e6e8eb", "#30363d", "#101317")}
"""Text, lines and background."""
WIDTH = 560


def draw(spec: dict[str, Any], folder: Path, name: str, about: str) -> str:
    """Write `name`-light.svg and `name`-dark.svg below `folder`; returns the Markdown that shows them in a document beside
    `folder`, with `about` for readers who cannot see them."""
    import vl_convert  # an extra: only figures need it

    folder.mkdir(parents=True, exist_ok=True)
    for mode in INK:
        svg = vl_convert.vegalite_to_svg(_dressed(spec, mode))
        write_atomically(folder / f"{name}-{mode}.svg", svg.rstrip() + "\n")
    return picture(f"{folder.name}/{name}", about)


def picture(stem: str, about: str) -> str:
    """The Markdown that shows `stem`-light.svg or `stem`-dark.svg, whichever suits the page."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">'
        f'<img src="{stem}-light.svg" alt="{about}"></picture>'
    )


def _dressed(spec: dict[str, Any], mode: str) -> dict[str, Any]:
    """The drawing with its data as plain records and the colours of `mode`."""
    ink, line, ground = INK[mode]
    data = {
        name: rows.to_dict("records") if isinstance(rows, pd.DataFrame) else rows
        for name, rows in spec.get("datasets", {}).items()
    }
    axis = {"labelColor": ink, "titleColor": ink, "gridColor": line, "domainColor": line, "tickColor": line}
    config = {
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": axis,
        "legend": {"labelColor": ink, "titleColor": ink},
        "header": {"labelColor": ink, "titleColor": ink},
    }
    sized = {} if "facet" in spec else {"width": WIDTH}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        **spec,
        **sized,
        "datasets": data,
        "background": ground,
        "config": config,
    }
