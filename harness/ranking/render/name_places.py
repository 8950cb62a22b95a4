"""Where the names of a trade-off stand, so that none lies over another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LETTER, LINE = 5.6, 13
"""Pixels: a letter of 10 px on average, rather more than less, and the height of a line."""
NEAR = 84
"""Pixels: points that are closer than that from left to right have their names in one stack, right of them all."""
BESIDE, APART = 11, 6
"""Pixels: from a point to its name, and from a name to the next stack."""
MOST_NAMES = 14
"""Names in one stack of points."""


@dataclass(frozen=True)
class Extent:
    """What a trade-off spans: costs on a logarithmic axis, and points."""

    low: float
    high: float
    bottom: float
    top: float

    @property
    def span(self) -> float:
        """Points from bottom to top."""
        return self.top - self.bottom

    def across(self, cost: pd.Series) -> np.ndarray:
        """Where costs lie from left (0) to right (1)."""
        return np.asarray(np.log(cost / self.low) / np.log(self.high / self.low), dtype=float)


def extent(shown: pd.DataFrame) -> Extent:
    """Bounds with room for intervals below and above and for names to the right. `shown`: cost, points, from_, to."""
    low, high = float(shown["cost"].min()), float(shown["cost"].max())
    width = max(high / low, 1.5)
    ends = shown[["points", "from_", "to"]].to_numpy(dtype=float)
    bottom, top = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = max((top - bottom) * 0.06, 0.5)
    return Extent(low / width**0.05, high * width**0.3, bottom - room, top + room)


def placed_names(shown: pd.DataFrame, within: Extent, width: int, height: int) -> pd.DataFrame:
    """The rows that are named on a chart of so many pixels, with `name`, `name_cost` and `name_at`, where it begins.

    Students of one shape cost the same and would be a stack, so that names are pushed apart, in the order of the points;
    of a stack that is too high the best are named, and the last name counts the rest. Names are cut where the next stack
    begins.
    `shown`: label, student, family, n, cost, points, from_.
    """
    ordered = shown.sort_values("cost", kind="stable")
    at = within.across(ordered["cost"]) * width
    stack_of = np.concatenate([[0], np.cumsum(np.diff(at) >= NEAR)])
    ends = [at[stack_of == stack].max() for stack in range(stack_of[-1] + 1)]
    begins = [at[stack_of == stack].min() for stack in range(1, stack_of[-1] + 1)] + [float(width)]
    lowest = float(np.nanmin(shown[["points", "from_"]].to_numpy(dtype=float)))
    named = []
    for stack, (end, begin) in enumerate(zip(ends, begins, strict=True)):
        letters = max(int((begin - end - BESIDE - APART) / LETTER), 1)
        rows = _stack(ordered[stack_of == stack], within.span * LINE / height, lowest)
        named.append(rows.assign(name=[_cut(name, letters) for name in rows["name"]]))
    return pd.concat(named)


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip(' ·(')}…"


def _stack(rows: pd.DataFrame, gap: float, lowest: float) -> pd.DataFrame:
    """The named rows of one stack, from its top; `lowest`: of all points and intervals."""
    ordered = rows.sort_values("points", ascending=False, kind="stable").head(MOST_NAMES)
    room = len(ordered)
    names = _stacked_names(ordered)
    if len(rows) > room:
        names[room - 1] = f"and {len(rows) - room + 1} more below"
    at = np.array(ordered["points"], dtype=float)
    at[0] += 0.6 * gap  # above the front, which runs to the right from the best
    for index in range(1, room):
        at[index] = min(at[index], at[index - 1] - gap)
    overhang = max(0.0, lowest - at[-1] - gap / 2)
    return ordered.assign(name=names, name_at=at + overhang, name_cost=rows["cost"].max())


def _stacked_names(ordered: pd.DataFrame) -> list[str]:
    """The names of a stack from its top: the shape that they share is said once, a single student is said to be one."""
    names: list[str] = []
    for row in ordered[["label", "student", "family", "n"]].to_dict("records"):
        same = names and row["student"] == ordered["student"].iloc[0]
        name = str(row["label"]).replace(f" · {row['student']}", "") if same else str(row["label"])
        names.append(f"{name} (1 seed)" if row["n"] <= 1 and row["family"] != "teacher" else name)
    return names
