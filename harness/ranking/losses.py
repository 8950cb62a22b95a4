"""Each method against its own objective: the loss on held-out text before the first step and after the last."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from harness.ranking.cells.scope import FAMILIES
from harness.ranking.cells.settings import flattened, variants
from harness.ranking.contributions import mean_shares
from harness.results.store import Store

NAMES = ["method", "student", "teacher", "language"]
COLUMNS = [
    "config_id", "family", *NAMES, "variant", "steps", "seeds", "before", "after", "ratio", "lowered", "terms",
]  # fmt: skip


def own_losses(store: Store) -> pd.DataFrame:
    """One row per configuration that was distilled with an objective, with the columns `COLUMNS`.

    `before` and `after`: the weighted loss on held-out text of the corpus, means over `seeds` students.
    `ratio`: after / before. `lowered`: students whose loss after training is below that before.
    `terms`: of a method of several terms, the rows of `mean_shares`.
    """
    trials = store.frame(
        "SELECT config_id, config, facts, family, method, student, teacher, language FROM trials "
        "WHERE kind = 'distil' AND status = 'ok' AND facts IS NOT NULL"
    )
    facts = trials["facts"].map(json.loads)
    trials["steps"] = facts.map(lambda known: known.get("steps"))
    shares = mean_shares(trials["config_id"].tolist(), facts.tolist())
    for when in ("before", "after"):
        trials[when] = pd.to_numeric(facts.map(lambda known, at=f"held_out_{when}": _loss(known, at)))
    trials = trials.dropna(subset=["before", "after"])
    trials["lowered"] = trials["after"] < trials["before"]
    table = (
        trials.groupby(["config_id", "family", *NAMES], dropna=False)
        .agg(
            config=("config", "first"),
            steps=("steps", "max"),
            seeds=("after", "size"),
            before=("before", "mean"),
            after=("after", "mean"),
            lowered=("lowered", "sum"),
        )
        .reset_index()
    )
    table["ratio"] = table["after"] / table["before"].where(table["before"] != 0)
    table["variant"] = table["config_id"].map(_variants(table)).fillna("")
    terms = {config: rows.drop(columns="config_id") for config, rows in shares.groupby("config_id")}
    table["terms"] = table["config_id"].map(
        lambda config: terms[config].to_dict("records") if config in terms else []
    )
    table["family"] = pd.Categorical(table["family"], FAMILIES)
    return table.sort_values(["family", *NAMES, "variant"], ignore_index=True).astype({"family": str})[
        COLUMNS
    ]


def _loss(facts: dict[str, Any], when: str) -> float | None:
    """The weighted loss in one of a trial's two held-out records; None for a method without an objective."""
    record = facts.get(when)
    return record["loss"] if record else None


def _variants(table: pd.DataFrame) -> dict[str, str]:
    rows = table.to_dict("records")
    names = {str(row["config_id"]): tuple(str(row[name]) for name in NAMES) for row in rows}
    return variants(names, {str(row["config_id"]): flattened(json.loads(row["config"])) for row in rows})
