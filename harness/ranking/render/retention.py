"""Which share a column of retention shows."""

from __future__ import annotations

from harness.ranking.cells.table import Ranking

ROLES = {"prepared": "as prepared", "shipped": "as shipped"}


def retention_in_words(ranking: Ranking) -> str:
    """What retention is in this ranking: of which teachers, and over which tasks."""
    known = list(ranking.scope.guess.index)
    if not known:
        return "Retention is not shown: the level of guessing is known of no task."
    left = [task for task in ranking.tasks if task not in known]
    without = f" Without {', '.join(left)}, where the level of guessing is not known." if left else ""
    return (
        f"Retention: (score − guessing) / (teacher − guessing), mean over tasks; the teacher is {_teachers(ranking)}. "
        f"Blank at guessing on every task.{without}"
    )


def _teachers(ranking: Ranking) -> str:
    """`minilm-l6 as prepared`: the models that the rows learnt from; in general terms where they are many."""
    taught = set(ranking.ranked["teacher_key"].dropna().astype(str))
    models = ranking.scope.students.drop_duplicates("model_key").astype({"model_key": str})
    rows = models[models["model_key"].isin(taught)].join(ranking.scope.about["teacher"], on="config_id")
    names = sorted({f"{row.teacher} {ROLES.get(str(row.role), 'as distilled')}" for row in rows.itertuples()})
    return " or ".join(names) if 0 < len(names) <= 2 else "the one that each row learnt from"
