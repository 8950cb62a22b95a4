"""The question the project exists for, answered from a ranking: which family of methods is ahead, and how surely."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pandas as pd

from harness.ranking import statistics
from harness.ranking.table import Ranking

COMPARED = ("MHA", "HS", "OD", "composite")
"""Families that are methods of distillation; controls, teachers and external models are not."""


STUDIED = ("MHA", "HS", "OD")
"""The families of the study; they are answered for first."""


@dataclass(frozen=True)
class FamilyAnswer:
    """One pair of families on one student shape."""

    sentence: str
    comparison: statistics.FamilyComparison
    student: str | None


def family_answers(ranking: Ranking, suite: str, most: int | None = None) -> list[FamilyAnswer]:
    """Every pair of families (or the first `most` of them), the widest lead first, on the student shape that
    most families share.

    Each family is represented by its configuration with the best dev score, so that no reported score chose
    what is compared.
    """
    ranked = ranking.ranked[["config_id", "family", "student", "mean", "std", "n", "complete"]]
    complete = ranked[ranked["mean"].notna() & ranked["family"].isin(COMPARED)]
    if complete.empty:
        return []
    student = _shared_student(complete)
    rows = complete if student is None else complete[complete["student"] == student]
    chosen = best_by_dev(ranking, rows)
    family_of = dict(zip(rows["config_id"], rows["family"], strict=True))
    where = f"{suite} ({student})" if student and complete["student"].nunique() > 1 else suite
    by_score = rows.groupby("family")["mean"].max().sort_values(ascending=False).index
    order = sorted(by_score.astype(str), key=lambda family: family not in STUDIED)  # stable: by score within
    answers = []
    for a, b in itertools.islice(itertools.combinations(order, 2), most):
        picked = {family: config for family, config in chosen.items() if family in (a, b)}
        pair = rows[rows["family"].isin((a, b))]
        whole = pair.loc[pair["config_id"].isin(picked.values()), "complete"].all()
        comparison = statistics.compare_families(pair, family_of, a, b, chosen=picked if whole else None)
        answers.append(FamilyAnswer(statistics.family_sentence(comparison, where), comparison, student))
    return answers


def best_by_dev(ranking: Ranking, rows: pd.DataFrame) -> dict[str, str]:
    """Family -> its complete configuration with the highest mean dev score over the ranking's tasks."""
    whole = rows[rows["complete"]]
    of = whole if len(whole) else rows
    dev = ranking.scope.dev_means.reindex(of["config_id"])
    ranked = rows.assign(dev=rows["config_id"].map(dev)).sort_values(
        ["dev", "config_id"], ascending=[False, True]
    )
    first = ranked.drop_duplicates("family")
    return dict(zip(first["family"].astype(str), first["config_id"].astype(str), strict=True))


def _shared_student(rows: pd.DataFrame) -> str | None:
    """The student shape that most families have; of several, the one with most configurations, then most seeds."""
    counted = rows.groupby("student").agg(
        families=("family", "nunique"), rows=("config_id", "size"), seeds=("n", "min"), best=("mean", "max")
    )
    if counted.empty:
        return None
    return str(counted.sort_values(["families", "rows", "seeds", "best"], ascending=False).index[0])
