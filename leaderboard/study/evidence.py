"""What one part of the study says of a claim."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from harness.ranking.cells.scope import Filters
from harness.ranking.cells.strata import ASPECTS
from harness.ranking.cells.table import Ranking
from harness.ranking.compare import SUITE, differences, verdict
from leaderboard.study.parts import Part

FOR, AGAINST, UNDECIDED = "for", "against", "undecided"
MOST_SEEDS = 200
"""Where it would take more, the difference is hardly one."""


@dataclass(frozen=True)
class Evidence:
    """One comparison that bears on a claim."""

    where: str
    """Part and suite."""
    verdict: str
    sentence: str
    needed: str = ""
    """What it would take to decide; empty where it is decided."""

    @property
    def line(self) -> str:
        """One item of a list, in Markdown."""
        end = f" {self.needed}" if self.needed else ""
        return f"- *{self.where}*, **{self.verdict}**: {self.sentence}{end}"


def families(part: Part, suite: str, ahead: str, behind: str) -> Iterator[Evidence]:
    """Whether family `ahead` is ahead of `behind`, in each setting in which both were distilled."""
    for answer in part.board.answers(Filters(suite=suite)):
        c = answer.comparison
        if {c.a, c.b} != {ahead, behind} or not c.configurations[0]:
            continue
        first = c.difference if c.a == ahead else -c.difference
        questions = c.sentences * max(c.candidates)
        yield Evidence(
            f"{part.title}, {suite}",
            (FOR if first > 0 else AGAINST) if c.separable else UNDECIDED,
            answer.sentence,
            "" if c.separable else _takes((c.difference, c.low, c.high), min(c.seeds), False, questions),
        )


def methods(
    part: Part, suite: str, pairs: list[tuple[str, str]], across: tuple[str, ...] = ()
) -> Iterator[Evidence]:
    """For each pair (a, b) whether method a is ahead of method b, on each student shape that has both, among rows that
    differ in their method alone, or in the aspects `across` of a stratum, too; corrected for all pairs of a shape."""
    same = [aspect for aspect in ASPECTS if aspect not in across]
    for student in part.students(suite):
        ranking = part.ranking(suite, student)
        for rows in settings_of(ranking, part.board.frames.strata[same]):
            here = [(a, b) for a, b in pairs if a in rows and b in rows]
            names = list(dict.fromkeys(itertools.chain.from_iterable(here)))
            if not here:
                continue
            compared = _differences(ranking, part, {rows[name][0]: rows[name][1] for name in names})
            for a, b in here:
                ids = (rows[a][0], rows[b][0])
                yield _of_pair(compared, ranking, (a, b), ids, f"{part.title}, {suite}, {student}")


def settings_of(ranking: Ranking, strata: pd.DataFrame) -> list[dict[str, tuple[str, int]]]:
    """For each setting (rows alike in the aspects of `strata`): method -> its complete row with the best dev score, and
    from how many it was chosen."""
    whole = ranking.ranked[ranking.ranked["complete"].astype(bool)]
    whole = whole.assign(dev=whole["config_id"].map(ranking.scope.dev_means)).sort_values(
        ["dev", "config_id"], ascending=[False, True]
    )
    whole = whole[whole["config_id"].isin(strata.index)]
    setting = strata.loc[whole["config_id"]].agg("\n".join, axis=1).to_numpy()
    return [
        {
            str(method): (str(own["config_id"].iloc[0]), int(own["tried"].sum()))
            for method, own in rows.groupby("method")
        }
        for _, rows in whole.groupby(setting)
    ]


def _differences(ranking: Ranking, part: Part, tried: Mapping[str, int]) -> pd.DataFrame:
    return part.board.once(
        ("study", ranking.tasks, tuple(tried.items())),
        lambda: differences(ranking, list(tried), part.board.frames.strata, tried=tried),
    )


def _of_pair(
    compared: pd.DataFrame, ranking: Ranking, names: tuple[str, str], rows: tuple[str, str], where: str
) -> Evidence:
    """Evidence for the first of two methods being ahead of the second."""
    a, b = rows
    turned = not ((compared["a"] == a) & (compared["b"] == b)).any()
    mine = compared[(compared["a"] == (b if turned else a)) & (compared["b"] == (a if turned else b))]
    labels = names[::-1] if turned else names
    whole = mine[mine["task"] == SUITE] if (mine["task"] == SUITE).any() else mine
    total = whole.iloc[0]
    ahead = total["difference"] * (-1 if turned else 1) > 0
    apart = bool(total["low"] > 0 or total["high"] < 0)
    pairs = compared[["a", "b"]].drop_duplicates().shape[0]
    questions = pairs * (2 if len(ranking.tasks) > 1 else 1)
    seeds = (int(total["n_a"]), int(total["n_b"]))
    interval = (float(total["difference"]), float(total["low"]), float(total["high"]))
    alone = total["test"] == "one-sample"
    return Evidence(
        where,
        (FOR if ahead else AGAINST) if apart else UNDECIDED,
        verdict(mine, *labels),
        ""
        if apart
        else _takes(interval, max(seeds) if alone else min(seeds), total["test"] != "unpaired", questions),
    )


def _takes(interval: tuple[float, float, float], n: int, paired: bool, questions: int) -> str:
    """How many seeds would tell a difference of this size from 0, as a sentence. `interval`: difference, low, high."""
    difference, low, high = interval
    needed = seeds_needed(
        difference, difference - low if difference > 0 else high - difference, n, paired, questions
    )
    if needed is None:
        return "How many seeds it takes cannot be said before there are two."
    if needed > MOST_SEEDS:
        return f"More than {MOST_SEEDS} seeds would be needed to tell so small a difference from none."
    return f"Were the difference as large as it looks, {needed} seeds each would show it."


def seeds_needed(
    difference: float, half_width: float, n: int, paired: bool, questions: int = 1
) -> int | None:
    """The fewest seeds a side, more than the `n` there are, for which the half-width of the 95 % t interval is below
    |`difference`|, if the spread stays as it is. `half_width` is that of today's interval, corrected for `questions`.
    MOST_SEEDS + 1 where that many do not suffice, None without an interval."""
    if not (math.isfinite(half_width) and math.isfinite(difference)) or n < 2:
        return None

    def relative(seeds: int) -> float:
        degrees = seeds - 1 if paired else 2 * seeds - 2
        return float(stats.t.ppf(1 - 0.025 / questions, degrees)) / math.sqrt(seeds)

    for more in range(n + 1, MOST_SEEDS + 1):
        if half_width * relative(more) / relative(n) < abs(difference):
            return more
    return MOST_SEEDS + 1
