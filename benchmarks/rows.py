"""One row of the table of results: a target, the measured value, met or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One comparison or figure."""

    what: str
    """What was compared with what, or what was measured."""
    reached: float
    unit: str = "×"
    """`×` for a ratio, else `ms`, `GiB`, `%`, ..."""
    target: float | None = None
    """None for a figure that is reported and has no target."""
    sense: Literal["at least", "at most"] = "at least"
    sides: Mapping[str, float] = field(default_factory=dict)
    """Measurement of each side, in `side_unit`: medians for time."""
    side_unit: str = "ms"
    spread: Mapping[str, float] = field(default_factory=dict)
    """Interquartile range over the median of each timed side."""
    note: str = ""
    """What a reader needs to know to interpret it."""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None without one."""
        if self.target is None:
            return None
        return self.reached >= self.target if self.sense == "at least" else self.reached <= self.target

    def __str__(self) -> str:
        aim = "" if self.target is None else f" ({self.sense} {self.target:g}: {self.verdict})"
        return f"{self.what}: {quantity(self.reached, self.unit)}{aim}  [{self._sides}]"

    @property
    def verdict(self) -> str:
        """`met` in a word."""
        return {True: "met", False: "not met", None: "–"}[self.met]

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the Markdown table."""
        aim = (
            "–"
            if self.target is None
            else f"{'≥' if self.sense == 'at least' else '≤'} {self.target:g} {self.unit}"
        )
        what = f"{self.what}<br>*{self.note}*" if self.note else self.what
        return (what, aim, quantity(self.reached, self.unit), self.verdict, self._sides.replace("; ", "<br>"))

    @property
    def _sides(self) -> str:
        spread = {side: f" ±{100 * share / 2:.0f} %" for side, share in self.spread.items()}
        return "; ".join(
            f"{side} {quantity(value, self.side_unit)}{spread.get(side, '')}"
            for side, value in self.sides.items()
        )


HEADINGS = ("what", "target", "reached", "", "sides (median ± half the interquartile range)")


def table(rows: Iterable[Row]) -> str:
    """Markdown table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def quantity(value: float, unit: str) -> str:
    """The value with three significant digits and its unit."""
    size = abs(value)
    if 0 < size < 0.1:
        return f"{value:.2g} {unit}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
