"""Quality over training tokens: what intermediate students score, beside the student they became.

Tokens of an intermediate student are its share of the steps times the tokens of the whole distillation: every
batch holds the same number of blocks of the same length.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.ranking.cells.frames import Frames
from harness.ranking.cells.scope import TEACHERS
from harness.ranking.cells.table import Ranking

COLUMNS = ["config_id", "family", "step", "tokens", "mean", "low", "high", "n"]
OF_TRIAL = """
    SELECT suite, task, milestone, avg(value) AS mean FROM cells
    WHERE model_key = $trial OR starts_with(model_key, $trial || '@')
    GROUP BY ALL HAVING count(value) = count(*)
"""
"""Scores of one student and of what it was on the way there; languages averaged inside a task."""


def quality_over_tokens(ranking: Ranking, frames: Frames) -> pd.DataFrame:
    """Mean with interval of every configuration that was evaluated on the way, at each of its milestones and
    at its end, in order of tokens: `COLUMNS`.

    `ranking` is one with `Filters.milestones`.
    """
    rows = ranking.table[~ranking.table["role"].isin(TEACHERS) & ranking.table["mean"].notna()]
    base = rows["config_id"].astype(object).str.split("@").str[0]
    rows = rows.assign(config_id=base)[base.isin(base[rows["milestone"].notna()])]
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    whole = frames.models[frames.models["milestone"].isna()].groupby("row_id")["tokens"].mean()
    settings = frames.settings
    steps = rows["config_id"].map(lambda row: settings.get(row, {}).get("steps", np.nan)).astype(float)
    step = rows["milestone"].astype("Float64").fillna(steps).astype(float)
    tokens = rows["config_id"].map(whole).astype(float) * step / steps
    points = rows.assign(step=step, tokens=tokens).dropna(subset="tokens")
    return points.sort_values(["config_id", "tokens"], ignore_index=True)[COLUMNS]


def of_trial(scores: pd.DataFrame, steps: int, tokens: float) -> pd.DataFrame:
    """The answer to `OF_TRIAL` with step and tokens: series (suite and task), step, tokens, mean, low, high,
    n. Empty where nothing was evaluated on the way. `steps` and `tokens` are those of the whole distillation.
    """
    if scores["milestone"].isna().all():
        return pd.DataFrame(columns=["series", "step", "tokens", "mean", "low", "high", "n"])
    step = scores["milestone"].astype("Float64").fillna(steps).astype(float)
    named = scores["task"].where(scores["suite"] == scores["task"], scores["suite"] + " " + scores["task"])
    points = scores.assign(
        series=named, step=step, tokens=tokens * step / steps, low=np.nan, high=np.nan, n=1
    )
    return points.sort_values(["series", "step"], ignore_index=True)[
        ["series", "step", "tokens", "mean", "low", "high", "n"]
    ]
