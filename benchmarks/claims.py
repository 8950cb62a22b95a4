"""How often the board's sentences are wrong, and what they find: `python -m benchmarks.claims [--boards N] [--seed N]`.

Boards are simulated on which all methods are equal, or on which one family is better by a known gap, and judged by the
very functions that judge real ones (`harness.ranking`). Scores are in standard deviations of a student. Every
rate comes with the upper end of its one-sided 99 % interval (Clopper and Pearson). The figures are in
docs/statistics.md; a short run is in the tests.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from harness.ranking import statistics as st
from harness.ranking.compare import SUITE, questions_of
from harness.ranking.examples import by_row, over_examples

CANDIDATES = (1, 7, 12)
SEEDS = (3, 5, 10)
DEV = {"separate": 0.0, "correlated": 0.7, "reported": 1.0}
"""How configurations are chosen: correlation of a student's dev score with its reported one."""
SPREADS = ("equal", "one unstable", "one family unstable")
UNSTABLE = 3.0
"""Standard deviation of an unstable configuration's students."""
GAPS = (1.0, 2.0, 3.0)
EXAMPLES = (20, 50, 200)
"""Rows of a task."""


@dataclass(frozen=True)
class FamilyBoards:
    """Boards on which families of several candidates are compared pairwise."""

    candidates: int
    seeds: int
    dev: float = 0.7
    spread: str = "equal"
    families: int = 3
    shared: float = 0.0
    """Share of a student's variance that comes from its seed, common to all methods."""
    gap: float = 0.0
    """Advantage of every configuration of the first family."""

    @property
    def sentences(self) -> list[tuple[int, int]]:
        """Pairs of families."""
        return list(itertools.combinations(range(self.families), 2))

    def deviations(self) -> NDArray[np.float64]:
        """Standard deviations, by family and candidate."""
        deviations = np.ones((self.families, self.candidates))
        if self.spread == "one unstable":
            deviations[0, 0] = UNSTABLE
        elif self.spread == "one family unstable":
            deviations[0] = UNSTABLE
        return deviations


@dataclass(frozen=True)
class Outcome:
    """On how many of the simulated boards an event occurred."""

    count: int
    boards: int

    @property
    def rate(self) -> float:
        """Relative frequency, in [0, 1]."""
        return self.count / self.boards

    @property
    def upper(self) -> float:
        """Upper end of the one-sided 99 % interval."""
        if self.count == self.boards:
            return 1.0
        return float(stats.beta.ppf(0.99, self.count + 1, self.boards - self.count))

    def exceeds(self, rate: float) -> bool:
        """Whether the true rate is above `rate` with 99.9 % confidence."""
        return self.count > stats.binom.ppf(0.999, self.boards, rate)

    def __str__(self) -> str:
        return f"{100 * self.rate:.1f} (≤ {100 * self.upper:.1f})"


def family_claims(condition: FamilyBoards, boards: int, seed: int = 0) -> tuple[Outcome, Outcome]:
    """Boards with any interval that excludes the true difference, and boards that call the first family
    better than the second."""
    chosen = _representatives(condition, boards, seed)
    wrong, ahead = np.zeros(boards, dtype=bool), np.zeros(boards, dtype=bool)
    for a, b in condition.sentences:
        low, high, _ = st.family_interval(chosen[a], chosen[b], sentences=len(condition.sentences))
        truth = condition.gap if a == 0 else 0.0
        wrong |= (low > truth) | (high < truth)
        if (a, b) == (0, 1):
            ahead = low > 0
    return Outcome(int(wrong.sum()), boards), Outcome(int(ahead.sum()), boards)


def _representatives(condition: FamilyBoards, boards: int, seed: int) -> list[st.Representative]:
    """The configuration of each family with the best dev score, on all boards at once."""
    rng = np.random.default_rng([seed, condition.candidates, condition.seeds, condition.families])
    shape = (boards, condition.families, condition.candidates, condition.seeds)
    deviations = condition.deviations()[..., None]
    own = rng.normal(size=shape) * deviations
    common = rng.normal(size=(boards, 1, 1, condition.seeds))
    scores = np.sqrt(1 - condition.shared) * own + np.sqrt(condition.shared) * common
    dev = condition.dev * own + np.sqrt(1 - condition.dev**2) * rng.normal(size=shape) * deviations
    scores[:, 0] += condition.gap
    best = dev.mean(axis=-1).argmax(axis=-1)[..., None]
    std = scores.std(axis=-1, ddof=1)
    mean = np.take_along_axis(scores.mean(axis=-1), best, axis=-1)[..., 0]
    own_std = np.take_along_axis(std, best, axis=-1)[..., 0]
    pooled = np.sqrt((std**2).mean(axis=-1))
    degrees = condition.candidates * (condition.seeds - 1)
    return [
        st.Representative(
            mean[:, family],
            own_std[:, family],
            condition.seeds,
            pooled[:, family],
            degrees,
            condition.candidates,
        )
        for family in range(condition.families)
    ]


@dataclass(frozen=True)
class TwoRows:
    """Boards on which two rows are compared, on their mean over tasks and on every task."""

    seeds: int
    shared: float = 0.0
    """Share of a student's variance that comes from its seed."""
    ratio: float = 1.0
    """Ratio of their standard deviations."""
    paired: bool = True
    """Whether both were distilled with the same seeds."""
    tasks: int = 4
    gap: float = 0.0
    """Advantage of the first row on every task."""


def compare_claims(condition: TwoRows, boards: int, seed: int = 0) -> Outcome:
    """Boards on which the rows are called different, on their mean or on any task."""
    scores = _two_rows(condition, boards, np.random.default_rng([seed, condition.seeds, condition.tasks]))
    names = [f"t{task}" for task in range(condition.tasks)]
    called = np.zeros(boards, dtype=bool)
    for name, questions in questions_of(names, pairs=1).items():
        one = scores.mean(axis=-1) if name == SUITE else scores[..., names.index(name)]
        low, high, _ = interval_of_rows(one[:, 0], one[:, 1], questions, paired=condition.paired)
        called |= (low > 0) | (high < 0)
    return Outcome(int(called.sum()), boards)


def interval_of_rows(
    a: NDArray[np.float64], b: NDArray[np.float64], questions: int, *, paired: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(low, high, p) of the difference of two rows on many boards; `a`, `b`: (boards, seeds)."""
    n = a.shape[-1]
    if paired:
        error, degrees = (a - b).std(axis=-1, ddof=1) / np.sqrt(n), np.full(len(a), n - 1.0)
    else:
        error, degrees = st.unpaired_error(
            a.var(axis=-1, ddof=1) / n, n - 1, b.var(axis=-1, ddof=1) / n, n - 1
        )
    return st.corrected_bounds(
        (a - b).mean(axis=-1), error, degrees, questions_low=questions, questions_high=questions
    )


def _two_rows(condition: TwoRows, boards: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scores (board, row, seed, task): a student's own quality, its seed's effect, and half as much
    noise on every task."""
    own = rng.normal(size=(boards, 2, condition.seeds, 1)) * np.array([condition.ratio, 1.0])[:, None, None]
    common = rng.normal(size=(boards, 1, condition.seeds, 1))
    noise = rng.normal(0, 0.5, size=(boards, 2, condition.seeds, condition.tasks))
    scores = np.sqrt(1 - condition.shared) * own + np.sqrt(condition.shared) * common + noise
    scores[:, 0] += condition.gap
    return np.asarray(scores)


def example_claims(boards: int, rows: int = 200, languages: int = 15, seed: int = 0) -> Outcome:
    """Boards that call two students different although both are equally often right, on parallel rows that are hard in
    all languages or in none."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(languages), range(rows)], names=["language", "row"])
    called = 0
    for _ in range(boards):
        first, second = (
            (rng.normal(size=(1, rows)) + 0.3 * rng.normal(size=(languages, rows)) < 0.7).astype(float)
            for _ in range(2)
        )
        units = by_row(pd.Series((first - second).ravel(), index=index))
        found = over_examples({("a", "b", "t"): units}).iloc[0]
        called += bool(found["low"] > 0 or found["high"] < 0)
    return Outcome(called, boards)


def grid(families: int = 3) -> Iterator[FamilyBoards]:
    """Every condition in which no family is better."""
    for candidates, seeds, dev, spread in itertools.product(CANDIDATES, SEEDS, DEV.values(), SPREADS):
        yield FamilyBoards(candidates, seeds, dev, spread, families)


def _print_families(boards: int, seed: int) -> None:
    for families in (2, 3, 4):
        print(f"\nWrong on % of boards: {families} equal families, {boards:,} boards a condition")
        print("candidates seeds dev        " + "".join(f"{spread:>24}" for spread in SPREADS))
        for candidates, seeds, (name, dev) in itertools.product(CANDIDATES, SEEDS, DEV.items()):
            cells = [
                family_claims(FamilyBoards(candidates, seeds, dev, spread, families), boards, seed)[0]
                for spread in SPREADS
            ]
            print(
                f"{candidates:10} {seeds:5} {name:10} " + "".join(f"{cell!s:>24}" for cell in cells),
                flush=True,
            )
    print("\nWrong on % of boards, half of the variance of students that of their seed, 3 equal families")
    for candidates, seeds in itertools.product(CANDIDATES, SEEDS):
        print(
            candidates,
            seeds,
            family_claims(FamilyBoards(candidates, seeds, shared=0.5), boards, seed)[0],
            flush=True,
        )
    print("\nFound on % of boards: the first of 3 families better by 1, 2 and 3 standard deviations")
    for candidates, seeds in itertools.product(CANDIDATES, SEEDS):
        base = FamilyBoards(candidates, seeds)
        found = [family_claims(replace(base, gap=gap), boards, seed)[1] for gap in GAPS]
        print(candidates, seeds, *(f"{100 * one.rate:.0f}" for one in found), flush=True)


def _print_compare(boards: int, seed: int) -> None:
    print("\nTwo equal rows called different on % of boards: on the mean over 4 tasks or on any of them")
    print("seeds  same seeds shared ratio")
    for seeds, paired, shared, ratio in itertools.product(SEEDS, (True, False), (0.0, 0.5), (1.0, UNSTABLE)):
        if paired or not shared:
            called = compare_claims(TwoRows(seeds, shared, ratio, paired), boards, seed)
            print(f"{seeds:5} {paired!s:>11} {shared:6g} {ratio:5g} {called}", flush=True)
    print("\nFound on % of boards: two rows on one task, apart by 1, 2 and 3 standard deviations")
    for seeds, paired, shared in itertools.product(SEEDS, (True, False), (0.0, 0.5)):
        if paired or not shared:
            base = TwoRows(seeds, shared, paired=paired, tasks=1)
            found = [compare_claims(replace(base, gap=gap), boards, seed) for gap in GAPS]
            print(
                f"{seeds:5} {paired!s:>11} {shared:6g}",
                *(f"{100 * one.rate:.0f}" for one in found),
                flush=True,
            )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--boards", type=int, default=20_000, help="simulated boards per condition (default: 20,000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random scores (default: 0)")
    boards, seed = parser.parse_args().boards, parser.parse_args().seed
    _print_families(boards, seed)
    _print_compare(boards, seed)
    few = max(200, boards // 20)
    print(
        f"\nEqual students called different on parallel rows in 15 languages, {few:,} boards a number of rows"
    )
    for rows in EXAMPLES:
        print(f"{rows:5} {example_claims(few, rows, seed=seed)}", flush=True)


if __name__ == "__main__":
    main()
