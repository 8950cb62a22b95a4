"""Two or more configurations against each other, task by task: differences over their students, paired by seed
where they share seeds, corrected for how many are looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from harness.ranking import statistics
from harness.ranking.cells.settings import Settings, differing
from harness.ranking.cells.strata import differing_aspects, listed
from harness.ranking.cells.table import Ranking

SUITE = "all tasks"
"""Name of the row that compares means over all tasks."""


def differences(
    ranking: Ranking,
    rows: Sequence[str],
    strata: pd.DataFrame,
    *,
    confidence: float = 0.95,
    tried: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Difference a - b of every pair of `rows`, per task and on the mean over tasks.

    Columns: a, b, task; difference, low, high, p, n_a, n_b, test, because (of the test that gives the verdict: paired by
    seed where the rows share two seeds or more, else unpaired; one-sample where a row is the same student for every
    seed); `paired_*` and `unpaired_*` (low, high, p of
    either); settings_apart (what else than the method they differ in, empty within a stratum), incomplete (rows that lost
    students), separable (the interval excludes 0, both rows are complete and share a stratum).

    All intervals hold at once (Bonferroni). Half of the error is for the means over tasks, half for single tasks;
    all of it for a single task where there is one only. A row that was chosen from more settings than the other pays for
    the difference. `strata`: as in `Frames`. `tried`: row -> from how many it was chosen; default: by `select:`.
    """
    pairs = list(itertools.combinations(rows, 2))
    tasks = list(ranking.tasks)
    questions = questions_of(tasks, len(pairs))
    students = {task: _by_seed(ranking, rows, [task]) for task in tasks}
    students[SUITE] = _by_seed(ranking, rows, tasks)
    about = ranking.table.set_index("config_id")
    chosen = about["tried"].to_dict() if tried is None else tried
    found = []
    for (a, b), (task, count) in itertools.product(pairs, questions.items()):
        more = chosen[a] / chosen[b] if chosen[a] > chosen[b] else chosen[b] / chosen[a]
        row = {"a": a, "b": b, "task": task} | compared(
            students[task][a],
            students[task][b],
            (bool(about.loc[a, "constant"]), bool(about.loc[b, "constant"])),
            count * more,
            confidence,
        )
        row["settings_apart"] = settings_apart_in_words(a, b, strata)
        row["incomplete"] = tuple(one for one in (a, b) if not about.loc[one, "complete"])
        found.append(row)
    frame = pd.DataFrame(found)
    if frame.empty:
        return frame
    excludes = (frame["low"] > 0) | (frame["high"] < 0)
    return frame.assign(
        separable=excludes & (frame["settings_apart"] == "") & (frame["incomplete"].map(len) == 0)
    )


def _by_seed(ranking: Ranking, rows: Sequence[str], tasks: Sequence[str]) -> dict[str, pd.Series]:
    """config_id -> mean over `tasks` of each student that has them all, by seed; the same for every row, if empty."""
    mine = ranking.students[ranking.students["config_id"].isin(rows) & ranking.students["task"].isin(tasks)]
    none = {row: pd.Series(dtype=float) for row in rows}
    if mine.empty:
        return none
    scored = statistics.student_scores(mine, tasks).dropna(subset="score")
    groups = scored.groupby("config_id", observed=True)
    return none | {str(row): group.set_index("distil_seed")["score"] for row, group in groups}


def compared(
    a: pd.Series, b: pd.Series, constant: tuple[bool, bool], questions: float, confidence: float
) -> dict[str, Any]:
    """Both tests, and the one that gives the verdict, as columns of `differences`. `a`, `b`: one score a student, by seed.

    A row that is `constant`, the same student for every seed, has its only score at each seed of the other: both tests are
    then the t test of one sample."""
    if constant == (True, False):
        a = _at_seeds_of(b, a)
    elif constant == (False, True):
        b = _at_seeds_of(a, b)
    deciding, paired, unpaired = both_tests(a, b, questions, confidence)
    deciding = _of_known_numbers(deciding, constant)
    return {
        "difference": deciding.difference,
        "low": deciding.low,
        "high": deciding.high,
        "p": deciding.p,
        "n_a": deciding.seeds[0],
        "n_b": deciding.seeds[1],
        "test": deciding.test,
        "because": deciding.no_interval_because,
        **{
            f"{test.test}_{name}": getattr(test, name)
            for test in (paired, unpaired)
            for name in ("low", "high", "p")
        },
    }


def _at_seeds_of(other: pd.Series, one: pd.Series) -> pd.Series:
    """The only score of a row at every seed of another."""
    return pd.Series(one.iloc[0] if len(one) else float("nan"), index=other.index)


def _of_known_numbers(test: statistics.Difference, constant: tuple[bool, bool]) -> statistics.Difference:
    """The test with the students that rows which are the same for every seed count for, and its name."""
    if not any(constant):
        return test
    seeds = [min(n, 1) if known else n for n, known in zip(test.seeds, constant, strict=True)]
    because = "both are the same student for every seed" if all(constant) else test.no_interval_because
    return replace(test, seeds=(seeds[0], seeds[1]), test="one-sample", no_interval_because=because)


def questions_of(tasks: Sequence[str], pairs: int) -> dict[str, int]:
    """Task -> how many comparisons its intervals are corrected for."""
    if len(tasks) < 2:
        return dict.fromkeys(tasks, pairs)
    return dict.fromkeys(tasks, 2 * pairs * len(tasks)) | {SUITE: 2 * pairs}


def both_tests(
    a: pd.Series, b: pd.Series, questions: float, confidence: float = 0.95
) -> tuple[statistics.Difference, statistics.Difference, statistics.Difference]:
    """The test that gives the verdict, the paired and the unpaired one. `a`, `b`: one score a student, by seed."""
    columns = [scores.reset_index(drop=True) for scores in (a, b)]
    table = statistics.summarise(pd.concat(columns, axis=1).T)
    paired = statistics.paired_difference(a, b, confidence=confidence, questions=questions)
    unpaired = statistics.unpaired_difference(
        table.iloc[0], table.iloc[1], confidence=confidence, questions=questions
    )
    return (paired if paired.seeds[0] >= statistics.FEWEST_PAIRS else unpaired), paired, unpaired


def settings_apart_in_words(a: str, b: str, strata: pd.DataFrame) -> str:
    """Aspects other than the method in which two rows differ: `steps and teacher`; empty within a stratum."""
    if a not in strata.index or b not in strata.index:
        return "how they were made"
    apart = differing_aspects(strata.loc[[a, b]])
    return listed(apart) if apart else ""


def verdict(rows: pd.DataFrame, label_a: str, label_b: str) -> str:
    """What `differences` of one pair say of it, in one sentence of Markdown with its n; "ahead" only where a
    corrected interval excludes 0 within one stratum."""
    whole = rows[rows["task"] == SUITE] if (rows["task"] == SUITE).any() else rows
    total = whole.iloc[0]
    if pd.isna(total["difference"]):
        return (
            f"One of them lacks a task in every student, so their means cannot be compared (n = {_n(total)})."
        )
    ahead, behind = (label_a, label_b) if total["difference"] >= 0 else (label_b, label_a)
    size = f"{100 * abs(total['difference']):.1f} points"
    if pd.isna(total["low"]):
        return f"**{ahead}** scores {size} above {behind}, n = {_n(total)}: {_reversible(total)}."
    bounds = sorted(
        (total["low"], total["high"]) if total["difference"] >= 0 else (-total["low"], -total["high"])
    )
    span = " to ".join(f"{100 * bound:.1f}".replace("-", "−") for bound in bounds)
    n = f"{total['test']}, n = {_n(total)}"
    if total["separable"]:
        return f"**{ahead}** is ahead of {behind} by {size} ({span}), {n}."
    if total["low"] <= 0 <= total["high"]:
        return f"They **cannot be told apart**: {ahead} scores {size} above {behind} ({span}), {n}."
    return f"{ahead} scores {size} above {behind} ({span}), {n}; {_no_lead(total, label_a, label_b)}."


def _n(row: pd.Series) -> str:
    return f"{row['n_a']}" if row["n_a"] == row["n_b"] else f"{row['n_a']} and {row['n_b']}"


def _reversible(row: pd.Series) -> str:
    if row["because"] != "one seed":
        return f"{row['because']}, so the difference has no interval"
    if row["n_a"] == row["n_b"] == 1:
        return "these two trained students differ; another seed may reverse it"
    return "a single trained student is compared; another seed may reverse it"


def _no_lead(row: pd.Series, label_a: str, label_b: str) -> str:
    """Why a difference that is surely there is no lead of a method."""
    if row["settings_apart"]:
        return f"they also differ in {row['settings_apart']}, so it is not the method's alone"
    names = {row["a"]: label_a, row["b"]: label_b}
    lost = " and ".join(names[one] for one in row["incomplete"])
    return f"{lost} lost students, and the others may be the lucky ones"


def settings_apart(settings: Mapping[str, Settings], rows: Sequence[str]) -> pd.DataFrame:
    """Setting × row, for the settings that differ."""
    return pd.DataFrame(differing({row: settings.get(row, {}) for row in rows})).T.reindex(columns=list(rows))
