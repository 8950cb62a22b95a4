"""Selection of fine-tuning settings by dev scores alone, so that no reported score influences it."""

from __future__ import annotations

from collections.abc import Collection

import duckdb
import pandas as pd

GROUP = ["encoder_key", "suite", "task", "protocol"]
"""One encoder on one task under one protocol: its settings differ only in learning rate and epochs."""
SETTING = ["learning_rate", "epochs"]


def choose_settings(trials: pd.DataFrame) -> pd.DataFrame:
    """The selected setting of every model and task, and the basis of the selection.

    `trials`: one row per finished fine-tuning trial with `GROUP`, `SETTING`, finetune_seed and dev_value. The dev value
    of a setting is its mean over fine-tuning seeds. Only settings with as many seeds as the group's best-covered one
    compete, so that a setting whose unlucky seed failed gains nothing by it. Higher is better; an undefined dev value
    loses to any number; ties go to the lower learning rate, then to fewer epochs. Returns GROUP, SETTING, dev_value,
    seeds and settings (how many competed).
    """
    settings = trials.groupby([*GROUP, *SETTING], dropna=False, as_index=False).agg(
        dev_value=("dev_value", lambda values: values.mean(skipna=False)), seeds=("finetune_seed", "nunique")
    )
    covered = settings.groupby(GROUP, dropna=False)["seeds"].transform("max")
    competing = settings[settings["seeds"] == covered].copy()
    competing["settings"] = competing.groupby(GROUP, dropna=False)["seeds"].transform("size")
    ordered = competing.sort_values(
        ["dev_value", *SETTING], ascending=[False, True, True], na_position="last", kind="stable"
    )
    return ordered.drop_duplicates(GROUP).sort_values(GROUP, ignore_index=True)


def selected_trials(trials: pd.DataFrame) -> list[str]:
    """Ids of the trials at the selected settings, in order. `trials` as for `choose_settings`, with trial_id."""
    if trials.empty:
        return []
    chosen = choose_settings(trials)[[*GROUP, *SETTING]]
    return sorted(trials.merge(chosen, on=[*GROUP, *SETTING], how="inner")["trial_id"])


def mark_selected(con: duckdb.DuckDBPyConnection, groups: Collection[tuple[str, str]] | None = None) -> None:
    """Mark the trials at the settings selected by dev scores; of these pairs of encoder and task, or of all.

    The number of statements does not depend on the number of groups: each reads the whole table.
    """
    only, given = "kind = 'finetune'", {}
    if groups is not None:
        only += " AND (encoder_key, task) IN (SELECT unnest($encoders), unnest($tasks))"
        encoders, tasks = zip(*groups, strict=True)
        given = {"encoders": list(encoders), "tasks": list(tasks)}
    needed = "trial_id, encoder_key, suite, task, protocol, learning_rate, epochs, finetune_seed, dev_value"
    done = con.execute(
        f"SELECT {needed} FROM trials WHERE {only} AND status = 'ok' AND protocol IS NOT NULL", given
    ).df()
    chosen = selected_trials(done)
    considered = con.execute(f"SELECT trial_id FROM trials WHERE {only}", given).fetchnumpy()["trial_id"]
    for table in ("trials", "scores"):
        con.execute(
            f"UPDATE {table} SET selected = trial_id IN (SELECT unnest($chosen)) "
            "WHERE trial_id IN (SELECT unnest($considered))",
            {"chosen": chosen, "considered": considered.tolist()},
        )
