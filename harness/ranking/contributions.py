"""What each term of a method contributes: its share of the loss, and of the gradient that reaches the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

POINTS = ["step", "term", "loss", "gradient"]
SHARES = ["config_id", "term", "loss", "gradient", "first", "last", "most"]


def share_points(facts: Mapping[str, Any]) -> pd.DataFrame:
    """What one trial measured, with the columns `POINTS`: one row a step and term, shares in 0..1.

    Empty for a method of one term, and for trials recorded before shares were."""
    rows = [
        (point["step"], term, share, point["gradient"][term])
        for point in facts.get("term_shares", ())
        for term, share in point["loss"].items()
    ]
    return pd.DataFrame(rows, columns=POINTS)


def mean_shares(configs: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per configuration and term, with the columns `SHARES`; `configs` and `facts` are of the same trials.

    `loss`, `gradient`: means over measured steps, then students. `first`, `last`: the gradient's share at the
    first and last measured step, means over students. `most`: the largest that any student measured."""
    points = [
        share_points(known).assign(config_id=config, trial=number)
        for number, (config, known) in enumerate(zip(configs, facts, strict=True))
    ]
    frame = pd.concat(points, ignore_index=True) if points else pd.DataFrame()
    if frame.empty:
        return pd.DataFrame(columns=SHARES)
    frame = frame.sort_values(["trial", "step"], kind="stable")
    by_trial = frame.groupby(["config_id", "trial", "term"], sort=False).agg(
        loss=("loss", "mean"),
        gradient=("gradient", "mean"),
        first=("gradient", "first"),
        last=("gradient", "last"),
        most=("gradient", "max"),
    )
    means = {name: (name, "mean") for name in ("loss", "gradient", "first", "last")}
    return (
        by_trial.groupby(["config_id", "term"], sort=False)
        .agg(**means, most=("most", "max"))
        .reset_index()[SHARES]
    )
