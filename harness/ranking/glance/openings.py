"""The sentence with which a page on tasks, languages or published figures opens: its question, answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from harness.counted import counted
from harness.ranking.cells.table import Ranking
from harness.ranking.render.exports import scores_of_column, top_rows
from harness.ranking.render.language_names import language_name
from harness.ranking.render.text import points


def tasks_sentence(ranking: Ranking, labels: Mapping[str, str]) -> str:
    """Which row leads on most tasks, and on how many the lead is sure."""
    cells = ranking.per_task[ranking.per_task["mean"].notna()]
    complete = ranking.ranked.loc[ranking.ranked["complete"].astype(bool), "config_id"]
    cells = cells[cells["config_id"].isin(complete)]
    if cells["config_id"].nunique() < 2:
        return "Fewer than two complete rows have scores: no task has a best one yet."
    best = cells.sort_values(["mean", "config_id"], ascending=[False, True]).drop_duplicates("task")
    counts = best["config_id"].value_counts()
    leader = str(counts.index[0])
    where = sorted(best.loc[best["config_id"] == leader, "task"])
    total = len(ranking.tasks)
    tops = {task: top_rows(scores_of_column(ranking, f"task:{task}")) for task in ranking.tasks}
    sure = [task for task, rows in tops.items() if len(rows) == 1]
    held = f"on {counted(len(sure), 'task')} ({', '.join(sure)})" if sure else "on none of them"
    among = f"{len(where)} of {counted(total, 'task')} ({', '.join(where)})" if total > 1 else where[0]
    if total == 1:
        held = "Here the best row is" if sure else "No row is"
        return f"**{labels[leader]}** has the highest mean on {among}. {held} surely above all others of several seeds."
    return (
        f"**{labels[leader]}** has the highest mean on {among}. A row is surely above all others of several seeds "
        f"{held} (5 % error on each task)."
    )


def languages_sentence(scores: pd.DataFrame, task: str, labels: Mapping[str, str]) -> str:
    """Who scores highest outside English, and what is lost against it. `scores`: complete rows × languages."""
    whole = scores.dropna()
    others = [language for language in whole if language != "en"]
    if whole.empty or not others:
        return f"No complete row was scored in every language of {task}."
    means = whole[others].mean(axis=1)
    best = str(means.idxmax())
    over = counted(len(others), "language") + (" other than English" if "en" in whole else "")
    over = language_name(str(others[0])) if len(others) == 1 else f"the {over}"
    said = f"**{labels[best]}** has the highest mean in {over} on {task}: {points(means[best])} points"
    if "en" in whole:
        lost = whole["en"] - means
        said += f", {points(lost[best])} below its English"
        if len(whole) > 1:
            said += f"; all {counted(len(whole), 'complete row')} lose {points(lost.mean())} on average"
    return (
        f"{said}. Not tested: the page *Ranking*, with languages chosen beside it, tests the mean over them."
    )


def published_sentence(groups: Sequence[str], beside: Sequence[str]) -> str:
    """How many groups of published figures ours may stand beside."""
    if not beside:
        return (
            f"None of the {counted(len(groups), 'group')} of published figures measures what was measured here: each says "
            "why below."
        )
    rest = len(groups) - len(beside)
    others = f"; {counted(rest, 'group')} further down {'does' if rest == 1 else 'do'} not" if rest else ""
    verb, them = ("measures", "it") if len(beside) == 1 else ("measure", "them")
    names = ", ".join(f"*{name}*" for name in beside)
    return f"{names} {verb} the same as rows of ours, which stand below {them}{others}."
