"""Counted nouns stand in the singular where they count one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.counted import counted
from harness.ranking.cells.strata import described
from harness.ranking.cells.unscored import lost_in_words, unscored_in_words
from harness.ranking.pareto import Best, answer_in_words
from harness.ranking.published import protocol_in_words
from harness.ranking.render import text
from harness.ranking.statistics.family_gap import FamilyComparison
from harness.ranking.statistics.family_sentence import family_sentence
from harness.results.store import IngestReport
from harness.schedule.live_view import opening

ROOT = Path(__file__).parents[1]
ROOMS = ("harness/ranking", "harness/results", "harness/cli", "harness/schedule", "leaderboard")
NOUNS = (
    "comparison configuration epoch example file folder language model objective pair prediction row score seed sentence "
    "step student task time trial"
)
SURELY_SEVERAL = {
    "configurations",  # Friedman's test needs three
    "tasks",
    "len(codes)",  # more than are named one by one
    "len(known)",
    "languages",
    "max(map(len, languages))",
    "len(order)",  # more than a page of rows
    "len(rows)",
    "len(group)",
    "len(ids)",
    "second",  # of two numbers that differ
    "self.workers",
    "MOST_ROWS",
    "MOST_SEEDS",
    "needed",  # two at least
}
"""What is counted bare where it cannot be one."""
VERBS_AND_NAMES = {"ahead", "labels[best['row']]", "lost", "split"}
"""What stands before `scores`, `lost students` or `rows` and is no number."""


def bare_counts(module: Path) -> Iterator[str]:
    """`{len(rows)} rows`: numbers in front of a plural that do not go through `counted`."""
    plural = re.compile(rf" (?!(has|holds|names) )([a-z-]+ )?({'|'.join(NOUNS.split())})s\b")
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, after in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant):
                    found = plural.match(str(after.value))
                    counts = ast.unparse(value.value)
                    if found and counts not in SURELY_SEVERAL | VERBS_AND_NAMES:
                        yield f"{module.name}:{value.lineno}: {{{counts}}}{found[0]}"


@pytest.mark.parametrize("room", ROOMS)
def test_numbers_and_their_nouns_go_through_one_function(room: str) -> None:
    assert [one for path in sorted((ROOT / room).rglob("*.py")) for one in bare_counts(path)] == []


NOUN = rf"([a-z-]+ )?({'|'.join(NOUNS.split())})"
WRONG = {
    "a plural of one": re.compile(rf"(?<! and )\b1 {NOUN}s\b"),
    "a singular of others": re.compile(rf"\b(0|[2-9]|\d\d+) {NOUN}\b"),
    "a verb of several for one": re.compile(r"^1 (of \d+ )?[a-z -]*\b(have|lack|are)\b"),
}


def said(count: int, total: int) -> Iterator[str]:
    """Sentences on so many of so many."""
    whole = max(count, total)
    lost = pd.DataFrame({"model_key": range(count), "row_id": "r", "reason": ["nan"] * count}, dtype=object)
    yield from lost_in_words(lost, pd.Series({"r": whole}))
    states = pd.DataFrame({"suite": "s", "state": ["failed", "ok"], "trials": [count, whole - count]})
    yield unscored_in_words(states, "s")
    row = {"constant": False, "lost": "", "missing": "rte" if count else "", "at_guessing": "", "flags": ""}
    row["teacher_masked_accuracy"] = None
    yield text.notes(row | {"n": whole - count, "students": whole})
    yield text.students_in_words([count, whole])
    yield family_sentence(
        FamilyComparison(
            "A", "B", (count, whole), 0, 1, 0.95, seeds=(count, whole), difference=0.1, low=0.05, high=0.2
        ),
        "GLUE",
    )
    known = {"mean": 0.5, "low": None, "high": None, "complete": True, "constant": False}
    best = pd.Series({"n": count} | known)
    yield answer_in_words(Best(best, pd.DataFrame(), 0), "it", [])
    ours = {"task": "t", "metrics": "accuracy", "split": "dev", "rows": count, "select_on": "dev"}
    yield protocol_in_words("t", pd.DataFrame([ours]))
    yield described(pd.Series(), ["steps"], {"steps": count, "batch_size": 32, "length": 64})
    yield str(IngestReport(count, count, ()))
    yield opening(whole, count, "no time")


@given(st.integers(0, 2), st.integers(0, 2))
def test_sentences_have_the_singular_where_they_count_one(count: int, total: int) -> None:
    for sentence in said(count, total):
        assert [what for what, pattern in WRONG.items() if pattern.search(sentence)] == [], sentence


@given(st.integers(0, 10_000))
def test_only_one_is_singular(count: int) -> None:
    assert counted(count, "seed").endswith(" seed") == (count == 1)
    assert counted(count, "entry", "entries").endswith(" entry") == (count == 1)
