"""Names of models, architectures and protocols in an older database, recomputed from its trials."""

from __future__ import annotations

from contextlib import suppress

import duckdb
import pandas as pd
from pydantic import ValidationError

from harness.records.trial import Trial
from harness.results.tables import job_columns, trial_of

NAMES = ("model_key", "encoder_key", "teacher_key", "arch_key", "protocol")

TRIALS = """
    SELECT trial_id, kind, parents, config_id, labels, config, data,
           CASE WHEN array_to_string(flags, ' ') LIKE '%fp32_after_nan%' THEN 'bf16' ELSE precision END
    FROM trials WHERE config IS NOT NULL
"""


def renamed(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """trial_id and `NAMES` of every trial in the database."""
    trials: dict[str, Trial] = {}
    precisions: dict[str, str | None] = {}
    for *row, precision in con.execute(TRIALS).fetchall():
        with suppress(ValidationError):  # of a package that is not installed here: it keeps the names it has
            trials[row[0]], precisions[row[0]] = trial_of(*row), precision
    names = [
        {"trial_id": trial.id} | job_columns(trial, trials, precisions[trial.id]) for trial in trials.values()
    ]
    return (
        pd.DataFrame(names, columns=["trial_id", *NAMES])
        .astype(object)
        .where(lambda frame: frame.notna(), None)
    )
