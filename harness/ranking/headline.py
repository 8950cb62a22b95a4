"""The question the project exists for, answered from a ranking: which family of methods is ahead, and how
surely.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.settings import Settings
from harness.ranking.cells.strata import described, differing_aspects, listed
from harness.ranking.cells.table import Ranking

COMPARED = ("MHA", "HS", "OD", "composite")
"""Families that are methods of distillation; controls, teachers and external models are not."""


STUDIED = ("MHA", "HS", "OD")
"""The families of the study; they are answered for first."""


@dataclass(frozen=True)
class FamilyAnswer:
    """One pair of families within one stratum."""

    sentence: str
    comparison: statistics.FamilyComparison
    setting: str
    """What sets the stratum apart from the others of the ranking, in words; empty where there is one."""
    stratum: str
    """Digest of what the configurations share; empty where they share no setting and are not compared."""


def family_answers(
    ranking: Ranking, strata: pd.DataFrame, settings: Mapping[str, Settings], suite: str
) -> list[FamilyAnswer]:
    """Every pair of families in every stratum, the stratum with most families first and in it the widest lead.

    `strata`, `settings`: as in `Frames`. Each family is represented by its complete configuration with the best
    dev score. All intervals hold at once: each is corrected for the number of these answers that have one, and for the
    choice of the representatives.
    """
    rows = _compared(ranking, strata)
    groups = _by_stratum(rows)
    apart = differing_aspects(strata.loc[rows["config_id"]])
    words = _settings_in_words([group.iloc[0] for group in groups], apart, settings)
    pairs = [
        (group, word, *pair) for group, word in zip(groups, words, strict=True) for pair in _pairs(group)
    ]
    sentences = sum(math.comb(_complete_families(group), 2) for group in groups)
    chosen = {str(group["stratum"].iloc[0]): best_by_dev(ranking, group) for group in groups}
    students = _student_scores(ranking, {row for picked in chosen.values() for row in picked.values()})
    answers = []
    for group, word, a, b in pairs:
        stratum = str(group["stratum"].iloc[0])
        family_of = dict(zip(group["config_id"], group["family"], strict=True))
        comparison = statistics.compare_families(
            group, family_of, a, b, chosen=chosen[stratum], sentences=sentences, students=students
        )
        sentence = statistics.family_sentence(comparison, suite, word)
        answers.append(FamilyAnswer(sentence, comparison, word, stratum))
    return answers + _never_together(rows, groups, apart, suite)


def best_by_dev(ranking: Ranking, rows: pd.DataFrame) -> dict[str, str]:
    """Family -> its complete configuration with the highest mean dev score over the ranking's tasks; nothing
    for a family without a complete one."""
    whole = rows[rows["complete"]]
    ranked = whole.assign(dev=whole["config_id"].map(ranking.scope.dev_means)).sort_values(
        ["dev", "config_id"], ascending=[False, True]
    )
    first = ranked.drop_duplicates("family")
    return dict(zip(first["family"].astype(str), first["config_id"].astype(str), strict=True))


def _compared(ranking: Ranking, strata: pd.DataFrame) -> pd.DataFrame:
    """Rows of the compared families, with their stratum."""
    columns = [
        "config_id",
        "family",
        "student",
        "teacher",
        "language",
        "milestone",
        "mean",
        "std",
        "n",
        "complete",
        "tried",
    ]
    rows = ranking.ranked[columns]
    rows = rows[rows["family"].isin(COMPARED)]
    return rows.assign(stratum=rows["config_id"].map(strata["stratum"])).dropna(subset="stratum")


def _by_stratum(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows of each stratum with two families or more; most families first, then most configurations, most
    seeds and the best score."""
    groups = [group for _, group in rows.groupby("stratum") if group["family"].nunique() > 1]
    return sorted(
        groups,
        key=lambda group: (
            _complete_families(group),
            group["family"].nunique(),
            len(group),
            group["n"].min(),
            group["mean"].max(),
            group["stratum"].iloc[0],
        ),
        reverse=True,
    )


def _complete_families(group: pd.DataFrame) -> int:
    return int(group.loc[group["complete"], "family"].nunique())


def _pairs(group: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of families, those of the study first, then by their best score."""
    best = group.groupby("family")["mean"].max().sort_values(ascending=False, na_position="last").index
    order = sorted(best.astype(str), key=lambda family: family not in STUDIED)  # stable: by score within
    return list(itertools.combinations(order, 2))


def _settings_in_words(
    rows: list[pd.Series], apart: list[str], settings: Mapping[str, Settings]
) -> list[str]:
    """What sets each stratum apart, given a row of each; with the start of its digest where words do not."""
    words = [described(row, apart, settings[row["config_id"]]) for row in rows]
    shared = {word for word in words if words.count(word) > 1}
    return [
        f"{word} [{row['stratum'][:4]}]".strip() if word in shared else word
        for word, row in zip(words, rows, strict=True)
    ]


def _never_together(
    rows: pd.DataFrame, groups: list[pd.DataFrame], apart: list[str], suite: str
) -> list[FamilyAnswer]:
    """A sentence for every two families that share no stratum: they are not compared, and why."""
    together = {pair for group in groups for pair in itertools.permutations(group["family"].unique(), 2)}
    most_seeds = rows.groupby("family")["n"].max()
    answers = []
    for a, b in _pairs(rows):
        if (a, b) in together:
            continue
        comparison = statistics.FamilyComparison(
            a,
            b,
            candidates=(0, 0),
            left_out=0,
            sentences=0,
            confidence=0.95,
            no_interval_because=f"no setting in common, they differ in {listed(apart)}",
            seeds=(int(most_seeds[a]), int(most_seeds[b])),
        )
        answers.append(FamilyAnswer(statistics.family_sentence(comparison, suite), comparison, "", ""))
    return answers


def _student_scores(ranking: Ranking, rows: set[str]) -> dict[str, pd.Series]:
    """config_id -> score of each complete student by seed, on the mean over tasks."""
    students = ranking.students[ranking.students["config_id"].isin(rows)]
    if students.empty:
        return {}
    scores = statistics.student_scores(students, ranking.tasks)
    return {
        str(row): group.set_index("distil_seed")["score"]
        for row, group in scores.groupby("config_id", observed=True)
    }
