"""A comparison of two families as a sentence that claims no more than its interval does."""

from __future__ import annotations

import math

from harness.counted import counted
from harness.ranking.statistics.family_gap import FamilyComparison


def family_sentence(comparison: FamilyComparison, suite: str, setting: str = "") -> str:
    """`comparison` in one sentence, in points (hundredths of the score), with its n. `setting` (`with 2,000
    steps`) says what sets these configurations apart from others of the board.
    """
    c = comparison
    where = f"on {suite} {setting}".rstrip()
    if math.isnan(c.difference):
        n = f"n = {c.seeds[0]} and {c.seeds[1]}"
        return f"{c.a} and {c.b} cannot be compared {where}: {c.no_interval_because}{_notes(c, n)}."
    ahead, behind = (c.a, c.b) if c.difference >= 0 else (c.b, c.a)
    if math.isnan(c.low):
        return f"{_untested(c, ahead, behind)} {where}, {_seeds(c)}{_notes(c)}: {_why(c)}."
    decimals = 1 if 100 * min(abs(c.low), abs(c.high)) >= 0.1 else 2
    size = f"{100 * abs(c.difference):.{decimals}f}"
    bounds = sorted((c.low, c.high) if c.difference >= 0 else (-c.low, -c.high))
    span = " to ".join(_signed(bound, decimals) for bound in bounds)
    if c.separable:
        return f"{ahead} is ahead of {behind} by {size} points ({span}) {where}, {_seeds(c)}{_notes(c)}."
    apart = f"{c.a} and {c.b} cannot be told apart {where}"
    return f"{apart}: {ahead} {size} points above {behind} ({span}), {_seeds(c)}{_notes(c)}."


def _untested(c: FamilyComparison, ahead: str, behind: str) -> str:
    size = f"{100 * abs(c.difference):.1f}"
    return (
        f"{ahead} scores {size} points above {behind}" if float(size) else f"{c.a} and {c.b} score the same"
    )


def _why(c: FamilyComparison) -> str:
    if c.no_interval_because == "one seed":
        return "no interval, and other seeds may reverse it"
    return f"{c.no_interval_because}, so no interval"


def _signed(bound: float, decimals: int) -> str:
    return f"{100 * bound:.{decimals}f}".replace("-", "−")


def _seeds(c: FamilyComparison) -> str:
    first, second = c.seeds
    if first == second:
        return f"{counted(first, 'seed')} each"
    return f"{first} and {second} seeds of {c.a} and {c.b}"


def _notes(c: FamilyComparison, *first: str) -> str:
    """What was compared, where a family has more than one configuration or an incomplete one."""
    notes = list(first)
    if min(c.candidates) > 0 and max(c.candidates) > 1:
        notes.append(f"best by dev of {c.candidates[0]} {c.a}, of {c.candidates[1]} {c.b}")
    if c.left_out:
        notes.append(f"{c.left_out} incomplete left out")
    return f" ({'; '.join(notes)})" if notes else ""
