"""What a ranking says at a glance: what is compared in it, and who is first and how surely."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pandas as pd

from harness.counted import counted
from harness.ranking.cells.scope import FAMILIES, NOT_DISTILLED
from harness.ranking.cells.table import Ranking
from harness.ranking.render import text
from harness.ranking.render.language_names import languages_in_words

FAMILY_NAMES = {
    "OD": "output distribution",
    "HS": "hidden states",
    "MHA": "multi-head attention",
    "composite": "several kinds of knowledge",
    "control": "controls",
    "external": "checkpoints of others",
}
MOST_NAMED = 3
"""Rows, teachers or languages that a sentence names; further ones are counted."""


def compared_in_words(ranking: Ranking, suite: str | None) -> str:
    """`GLUE, 5 tasks: 9 methods of distillation in 3 student shapes, taught by minilm-l6 on text in English: output
    distribution (OD), …`; empty where no row has a mean."""
    rows = ranking.ranked[ranking.ranked["mean"].notna()]
    if rows.empty:
        return ""
    distilled = rows[~rows["family"].isin(NOT_DISTILLED)]
    tasks = f"{suite or 'All suites'}, {counted(len(ranking.tasks), 'task')}"
    if distilled.empty:
        return f"{tasks}: {counted(len(rows), 'row')}, {_families(rows)}."
    return (
        f"{tasks}: {counted(distilled['method'].nunique(), 'method')} of distillation in "
        f"{counted(distilled['student'].nunique(), 'student shape')}, taught by {_few(distilled['teacher'])} on "
        f"text in {_few(map(languages_in_words, distilled['language'].dropna().unique()))}: {_families(rows)}."
    )


def _families(rows: pd.DataFrame) -> str:
    present = [family for family in FAMILIES if family in set(rows["family"])]
    return _listed(f"{FAMILY_NAMES[one]} ({one})" if one.isupper() else FAMILY_NAMES[one] for one in present)


def _few(names: Iterable[object]) -> str:
    """The names, or how many there are."""
    each = list(dict.fromkeys(str(name) for name in names if text.known(name)))
    return _listed(each) if 0 < len(each) <= MOST_NAMED else f"{len(each)} of them"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def leader_sentence(ranking: Ranking, labels: Mapping[str, str], among: Collection[str] | None = None) -> str:
    """Who is first, in Markdown, and how many others cannot be told from it. `labels`: config_id to a row's name; `among`:
    the rows that are looked at, all without it."""
    rows = ranking.ranked[ranking.ranked["mean"].notna()]
    rows = rows if among is None else rows[rows["config_id"].isin(among)]
    if rows.empty:
        return "Nothing is ranked: no student has a score on every task."
    first = rows.iloc[0]
    name = f"**{labels[first['config_id']]}**"
    seeds = text.SAME_STUDENT if first["constant"] else counted(int(first["n"]), "seed")
    score = f"{text.plus_minus(first['mean'], first['low'], first['high'])} points, {seeds}"
    if not first["complete"]:
        why = first["lost"] or f"missing {first['missing']}"
        return (
            f"No row is complete, so there is no first. {name} has the highest mean so far ({score}; {why})."
        )
    if len(rows) == 1:
        return f"{name} is the only row ({score}): there is nothing to compare it with."
    return f"{_place(rows, name)} ({score}){_how_surely(ranking, rows, labels)}."


def _place(rows: pd.DataFrame, name: str) -> str:
    shared = int((rows["rank"] == rows["rank"].iloc[0]).sum()) > 1
    of = "" if rows["complete"].astype(bool).all() else " of the complete rows"
    return f"{name} {'shares' if shared else 'has'} the highest mean{of}"


def _how_surely(ranking: Ranking, rows: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """How many of the others it is surely above."""
    others = len(rows) - 1
    if rows["n"].iloc[0] < 2 and not rows["constant"].iloc[0]:
        return ", but it is one trained student: another seed may reverse the order"
    level = ranking.level(rows["config_id"])
    if not level:
        every = "the other one" if others == 1 else f"all {others} others"
        return f" and is surely above {every} (5 % error for all ranks together)"
    named = [labels[row] for row in level[:MOST_NAMED]]
    more = len(level) - len(named)
    tied = f"{_listed(named)}" if not more else f"{', '.join(named)} and {more} more"
    if len(level) == others:
        return (
            f", but none of the {others} others can be told from it"
            if others > 1
            else f", but {tied} cannot be told from it"
        )
    return f"; {len(level)} of {others} others cannot be told from it: {tied}"
