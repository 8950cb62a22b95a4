"""Each method's own loss in a terminal, as a rich renderable."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.ranking.losses import own_losses
from harness.ranking.render import text
from harness.ranking.render.colours import COLOURS
from harness.records.result import DEAD_TERM
from harness.results.store import Store


def render_losses(store: Store) -> RenderableType:
    """`own_losses` for a terminal, grouped by family."""
    table = own_losses(store)
    if table.empty:
        return Text("Nothing has been distilled with an objective yet.")
    several = [name for name in ("teacher", "language") if table[name].nunique() > 1]
    several += ["variant"] if table["variant"].astype(bool).any() else []
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("family", "method", "student", *several):
        shown.add_column("settings" if name == "variant" else name, no_wrap=name != "variant")
    for name in ("steps", "seeds", "before", "after", "after / before", "lowered"):
        shown.add_column(name, justify="right", no_wrap=True)
    family = None
    for row in table.to_dict("records"):
        if family not in (None, row["family"]):
            shown.add_section()
        family = row["family"]
        shown.add_row(
            Text(family, style=COLOURS[family]),
            *(text.name(row[name]) for name in ("method", "student", *several)),
            f"{row['steps']:.0f}",
            str(row["seeds"]),
            *(text.significant(row[name]) for name in ("before", "after", "ratio")),
            Text(
                f"{row['lowered']} of {row['seeds']}",
                style="green" if row["lowered"] == row["seeds"] else "red",
            ),
        )
    note = (
        "before, after: a method's own weighted loss on held-out text, before the first step and after the "
        "last, mean over seeds.\nLosses of different methods measure different things: compare a row with "
        "itself, never with another."
    )
    parts: list[RenderableType] = [
        Text("Own loss on held-out text", style="bold underline"),
        shown,
        Text(note, style="dim"),
    ]
    return Group(*parts, *_terms(table.to_dict("records"), several))


def _terms(rows: list[dict[Hashable, Any]], several: list[str]) -> list[RenderableType]:
    """What each term of the methods of several terms contributes."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("method", "student", *several, "term"):
        shown.add_column("settings" if name == "variant" else name, no_wrap=name != "variant")
    for name in ("of the loss", "of the gradient", "first", "last", "most"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        for part in row["terms"]:
            shown.add_row(
                *(
                    str(row[name]) if text.known(row[name]) else text.NONE
                    for name in ("method", "student", *several)
                ),
                part["term"],
                *(f"{part[name]:.1%}" for name in ("loss", "gradient", "first", "last")),
                Text(f"{part['most']:.1%}", style="red" if part["most"] < DEAD_TERM else ""),
            )
    if not shown.row_count:
        return []
    note = (
        "Shares of weight × loss, and of the norms of its gradients in the student, mean over measured steps and "
        f"seeds.\nA term that never has {DEAD_TERM:.0%} of the gradient (red) does nothing: the method is the others'."
    )
    return [Text(""), Text("Shares of the terms", style="bold underline"), shown, Text(note, style="dim")]
