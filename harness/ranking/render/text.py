"""Numbers as readers see them, the same in the terminal, in exports and on the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from harness.counted import counted

NONE = "–"


def known(value: Any) -> bool:
    """Whether there is a value at all."""
    return value is not None and not pd.isna(value)


def name(value: Any) -> str:
    """A name, or a dash where it is not known."""
    return str(value) if known(value) else NONE


def points(value: Any, decimals: int = 1) -> str:
    """A fraction in points (hundredths): 0.8123 -> `81.2`."""
    return f"{100 * value:.{decimals}f}" if known(value) else NONE


def interval(low: Any, high: Any, decimals: int = 1) -> str:
    """`80.1–82.3`, in points; empty without one."""
    return f"{100 * low:.{decimals}f}–{100 * high:.{decimals}f}" if known(low) and known(high) else ""


def signed(value: Any) -> str:
    """A difference in points: 0.0123 -> `+1.2`."""
    return f"{100 * value:+.1f}".replace("-", "−") if known(value) else NONE


def signed_span(low: Any, high: Any) -> str:
    """`−0.8 to +3.1`, in points."""
    return f"{signed(low)} to {signed(high)}" if known(low) and known(high) else NONE


def plus_minus(mean: Any, low: Any, high: Any) -> str:
    """`81.2 ± 1.1`, in points; the mean alone without an interval."""
    return points(mean) + (f" ± {50 * (high - low):.1f}" if known(low) and known(high) else "")


def share(value: Any) -> str:
    """A ratio as percent: 0.973 -> `97.3 %`."""
    return f"{100 * value:.1f} %" if known(value) else NONE


def significant(value: Any, digits: int = 3) -> str:
    """A number with so many digits that count: 0.012345 -> `0.0123`, 1234.5 -> `1,234`."""
    if not known(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:#.{digits}g}".rstrip(".")


def count(value: Any) -> str:
    """A large count, short: 22713216 -> `22.7M`."""
    if not known(value):
        return NONE
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


def milliseconds(value: Any) -> str:
    """`3.32 ms`, with three digits that count."""
    return (
        f"{value:.3g} ms" if known(value) and value < 100 else (f"{value:,.0f} ms" if known(value) else NONE)
    )


def duration(seconds: Any) -> str:
    """`1 h 02 min`, `3 min 20 s`, `12.3 s`."""
    if not known(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def rough_duration(seconds: float) -> str:
    """An estimate: `2.3 days`, `25 h`, `3.4 min`, `12 s`; two digits that count, or three."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 20 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


SAME_STUDENT = "the same student for every seed"
"""Of a control that draws nothing."""


def notes(row: Mapping[Any, Any]) -> str:
    """What a reader must know of a row of a ranking: that it is one student whatever the seed, lost seeds, missing tasks,
    how well it and a teacher whose predictions it learnt predict masked tokens, scores at guessing, flags."""
    parts = [SAME_STUDENT] if row["constant"] else []
    parts += [str(row["lost"])] if row["lost"] else []
    if row["missing"] and row["n"] == 0:
        parts.append(f"missing {row['missing']}")
    elif row["missing"]:
        without = row["students"] - row["n"]
        lack = "lacks" if without == 1 else "lack"
        parts.append(f"{without} of {counted(row['students'], 'seed')} {lack} {row['missing']}")
    if known(row["teacher_masked_accuracy"]):
        accuracies = share(row["masked_accuracy"]), share(row["teacher_masked_accuracy"])
        parts.append(f"masked accuracy {accuracies[0]}, its teacher's {accuracies[1]}")
    if row["at_guessing"]:
        parts.append(f"at guessing: {row['at_guessing']}")
    if row["flags"]:
        parts.append(str(row["flags"]))
    return "; ".join(parts)


def students_in_words(counts: Iterable[int]) -> str:
    """`n = 3 students each`, `n = 1 to 3 students`: how many students each of several rows is the mean of."""
    every = [int(count) for count in counts]
    low, high = min(every), max(every)
    return (
        f"n = {counted(low, 'student')} each" if low == high else f"n = {low} to {counted(high, 'student')}"
    )


def other_protocols_in_words(models: Mapping[str, int]) -> str:
    """`Not shown: scores under other fine-tuning settings or of other data (snli: 3 models)`."""
    listed = ", ".join(f"{task}: {counted(count, 'model')}" for task, count in models.items())
    return f"Not shown: scores under other fine-tuning settings or of other data ({listed})"


def p_value(p: Any) -> str:
    """`0.034`, `< 0.001`."""
    if not known(p):
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def rank_range(rank: Any, best: Any, worst: Any) -> str:
    """`3` where the data leave no doubt, else `3 (1–5)`."""
    if not known(rank):
        return NONE
    return f"{rank}" if best == worst else f"{rank} ({best}–{worst})"
