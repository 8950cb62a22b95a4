"""What a plan asked for and the scores do not hold: students that failed or are not done, and fine-tuning trials
without a score.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from harness.counted import counted

STATES = ("planned", "running", "failed", "blocked")
"""Of a fine-tuning trial without a score; `blocked` waits for a student or a prepared teacher that failed."""

STUDENTS = """
    WITH evaluated AS (
        SELECT model_key, suite, task, protocol, bool_or(status = 'ok') AS scored,
               bool_and(status = 'failed') AS failed, min(error) AS error
        FROM evaluations WHERE protocol IS NOT NULL AND status <> 'pruned'
        GROUP BY ALL
    ), chosen AS (
        SELECT DISTINCT model_key, suite, task, protocol, learning_rate, epochs, config ->> '$.recipe' AS recipe
        FROM evaluations WHERE selected AND status = 'ok'
    ), short AS (
        SELECT model_key, suite, task, c.protocol, bool_or(status = 'failed') AS failed,
               min(error) FILTER (status = 'failed') AS error
        FROM evaluations e JOIN chosen c USING (model_key, suite, task, learning_rate, epochs)
        WHERE (status = 'failed' AND e.protocol = c.protocol)
           OR (status IN ('planned', 'running') AND e.config ->> '$.recipe' = c.recipe)
        GROUP BY ALL
    ), made AS (
        SELECT model_key, kind, status, error FROM trials WHERE kind IN ('distil', 'prepare')
    )
    SELECT e.model_key, suite, task, protocol,
           CASE WHEN m.status = 'failed' THEN coalesce(m.error, 'failed')
                WHEN e.failed THEN coalesce(e.error, 'failed') || ' (' || task || ')' END AS reason
    FROM evaluated e LEFT JOIN made m ON m.model_key = split_part(e.model_key, '@', 1)
    WHERE NOT scored
    UNION ALL
    SELECT model_key, suite, task, protocol, CASE WHEN failed THEN coalesce(error, 'failed') || ' (' || task || ')' END
    FROM short
    UNION ALL
    SELECT model_key, NULL, NULL, NULL, CASE WHEN status = 'failed' THEN coalesce(error, 'failed') END
    FROM made
    WHERE kind = 'distil' AND NOT EXISTS (
        SELECT 1 FROM evaluated WHERE split_part(evaluated.model_key, '@', 1) = made.model_key
    )
    ORDER BY ALL
"""
"""One row per model (student, teacher, checkpoint of others) and task without a score where a fine-tuning trial is
recorded: model_key, suite, task, protocol, reason (why it failed; null while it may still be done). So has a model of
which a fine-tuning seed of the chosen setting failed, as the others may be the lucky ones, or has not been run, as its
score is still to change (known by its recipe: the protocol of what has not run lacks the precision). A student without
any fine-tuning trial has one row, without a task: folders hold no trace of what waits for a student that has not been
distilled."""

EVALUATIONS = """
    WITH RECURSIVE never AS (
        SELECT trial_id FROM trials WHERE kind IN ('distil', 'prepare') AND status = 'failed'
        UNION
        SELECT t.trial_id FROM trials t JOIN never ON list_contains(t.parents, never.trial_id)
        WHERE t.status = 'planned'
    )
    SELECT suite, task, CASE WHEN trial_id IN (FROM never) THEN 'blocked' ELSE status END AS state, count(*) AS trials
    FROM trials WHERE kind = 'finetune' AND status <> 'pruned'
    GROUP BY ALL ORDER BY ALL
"""
"""Fine-tuning trials by suite, task and state (suite, task, state, trials)."""


def lost_students(
    waiting: pd.DataFrame, cells: pd.DataFrame, everywhere: pd.DataFrame, scored: Collection[str]
) -> pd.DataFrame:
    """The students that lack a score in a scope: model_key, row_id, reason (null while it may still be done).

    `waiting`: the answer to `STUDENTS`, with row_id; `cells` and `everywhere`: the scores of the scope and of the whole
    database (model_key, task, protocol); `scored`: the rows that have a score in the scope. A trial that has not run
    states the precision it was declared with, `auto` say, so its protocol is nobody's yet: it belongs to the scope's
    protocol of its task unless its student has that score. Rows with neither a score nor a failure are left out: they
    have only been planned.
    """
    protocol = _pairs(waiting, "task", "protocol")
    open_protocol = ~protocol.isin(_pairs(everywhere, "task", "protocol"))
    has_score = _pairs(waiting, "model_key", "task").isin(_pairs(cells, "model_key", "task"))
    expected = open_protocol & waiting["task"].isin(cells["task"].astype(str).unique()) & ~has_score
    asked = waiting["task"].isna() | protocol.isin(_pairs(cells, "task", "protocol")) | expected
    mine = waiting[asked & waiting["row_id"].notna()]
    mine = mine.sort_values(["model_key", "reason"], na_position="last").drop_duplicates("model_key")
    begun = mine["row_id"].isin(set(scored)) | mine["row_id"].isin(
        set(mine.loc[mine["reason"].notna(), "row_id"])
    )
    return mine.loc[begun, ["model_key", "row_id", "reason"]]


def _pairs(frame: pd.DataFrame, first: str, second: str) -> pd.MultiIndex:
    """Two columns as keys."""
    return pd.MultiIndex.from_frame(frame[[first, second]].astype(str))


def without_survivors(cells: pd.DataFrame, waiting: pd.DataFrame) -> pd.DataFrame:
    """The cells, undefined where a fine-tuning seed of the chosen setting failed. `waiting`: the answer to `STUDENTS`."""
    failed = waiting.dropna(subset=["task", "reason"])
    mine = [_triples(frame) for frame in (cells, failed)]
    return cells.assign(
        **{name: cells[name].where(~mine[0].isin(mine[1])) for name in ("value", "dev_value")}
    )


def _triples(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["model_key", "task", "protocol"]].astype(str))


def lost_in_words(lost: pd.DataFrame, planned: pd.Series) -> pd.Series:
    """By row_id: `1 of 3 seeds failed: nan; 1 of 3 seeds not done`. `planned`: row_id to all its seeds."""
    words: dict[str, list[str]] = {}
    reason_of = ("failed: " + lost["reason"].astype(object)).where(lost["reason"].notna(), "not done")
    found = lost.groupby(["row_id", reason_of])["model_key"].nunique().reset_index(name="seeds")
    for row, reason, seeds in found.itertuples(index=False, name=None):
        words.setdefault(str(row), []).append(f"{seeds} of {counted(planned[row], 'seed')} {reason}")
    return pd.Series({row: "; ".join(parts) for row, parts in words.items()}, dtype=object)


def unscored_in_words(evaluations: pd.DataFrame, suite: str | None) -> str:
    """`12 of 120 fine-tuning trials have no score: 9 planned, 3 failed`; empty where all have one."""
    mine = evaluations if suite is None else evaluations[evaluations["suite"] == suite]
    by_state = mine.groupby("state")["trials"].sum()
    parts = [f"{by_state[state]:,} {state}" for state in STATES if by_state.get(state, 0)]
    if not parts:
        return ""
    count = sum(int(by_state.get(state, 0)) for state in STATES)
    trials = counted(int(by_state.sum()), "fine-tuning trial")
    return f"{count:,} of {trials} {'has' if count == 1 else 'have'} no score: {', '.join(parts)}"
