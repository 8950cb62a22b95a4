"""The ranking of a suite as a file: CSV, Parquet and JSON for programs, Markdown for readers.

LaTeX and HTML, which hold every suite, are made by `harness.ranking.render.latex` and `.web`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.ranking import statistics
from harness.ranking.across_tasks import across_tasks
from harness.ranking.cells.table import Ranking
from harness.ranking.render import text
from harness.ranking.render.retention import retention_in_words
from harness.registry import Registry
from harness.results.tables import finite

PLAIN = [
    "config_id", "role", "family", "method", "student", "teacher", "language", "variant", "milestone",
    "stratum", "tokens", "rank", "best_rank", "worst_rank", "family_rank",
    "average_rank", "friedman_p", "critical_difference", "n", "constant", "students", "complete", "lost",
    "mean", "low", "high", "std", "retention", "retention_low", "retention_high", "retention_of_shipped",
    "missing", "at_guessing", "flags",
    "parameters", "parameters_without_embeddings", "flops", "latency_ms", "throughput", "masked_accuracy",
    "teacher_masked_accuracy",
]  # fmt: skip
"""Columns for programs: numbers as they are, scores as fractions. One column `task:NAME` per task follows.
`average_rank` is over tasks; `friedman_p` and `critical_difference` are of all complete rows, the same in each;
`constant`: the same student for every seed."""


def plain_table(ranking: Ranking) -> pd.DataFrame:
    """One row per configuration with the columns `PLAIN` and the mean of every task."""
    table = ranking.table.reindex(columns=PLAIN)
    across = across_tasks(ranking)
    if across is not None:
        table["average_rank"] = table["config_id"].map(across.friedman.average_ranks)
        tested = table["average_rank"].notna()
        table.loc[tested, "friedman_p"] = across.friedman.p
        table.loc[tested, "critical_difference"] = across.friedman.critical_difference
    for task in ranking.tasks:
        means = ranking.per_task[ranking.per_task["task"] == task].set_index("config_id")["mean"]
        table[f"task:{task}"] = table["config_id"].map(means)
    return table


def _csv(ranking: Ranking) -> bytes:
    return plain_table(ranking).to_csv(index=False).encode()


def _parquet(ranking: Ranking) -> bytes:
    buffer = io.BytesIO()
    plain_table(ranking).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(ranking: Ranking) -> bytes:
    content = {
        "tasks": {task: list(ranking.languages[task]) for task in ranking.tasks},
        "rank_test": ranking.rank_test,
        "groups": [list(group) for group in ranking.groups],
        "friedman": _friedman(ranking),
        "rows": json.loads(plain_table(ranking).to_json(orient="records")),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _friedman(ranking: Ranking) -> dict[str, float | int | None] | None:
    """Friedman's test of all complete rows over the tasks; None where they are too few."""
    across = across_tasks(ranking)
    if across is None:
        return None
    configurations, tasks = across.means.shape
    test = across.friedman
    return {
        "configurations": configurations,
        "tasks": tasks,
        "statistic": finite(test.statistic),
        "p": finite(test.p),
        "critical_difference": test.critical_difference,
        "alpha": test.alpha,
    }


@dataclass(frozen=True)
class ReadingTable:
    """A ranking as readers see it, scores in points."""

    heading: list[str]
    rows: list[list[str]]
    bold: list[set[str]]
    """Of each row, the headings under which it is one of `top_rows`."""
    notes: list[str]
    """Of each row, why its seeds are fewer than they seem."""

    def marked(self, mark: Callable[[str], str], plain: Callable[[str], str] = str) -> list[list[str]]:
        """The rows with notes beside the seeds; bold cells through `mark`, others through `plain`."""
        shown = []
        for row, bold, note in zip(self.rows, self.bold, self.notes, strict=True):
            noted = [*row[:-1], f"{row[-1]} ({note})" if note else row[-1]]
            cells = zip(self.heading, noted, strict=True)
            shown.append([mark(cell) if name in bold else plain(cell) for name, cell in cells])
        return shown


def reading_table(ranking: Ranking) -> ReadingTable:
    """A row a configuration; names first, then the scores of each task, the mean, costs and seeds."""
    tasks = list(ranking.tasks) if len(ranking.tasks) > 1 else []
    extra = [name for name in ("teacher", "language") if ranking.ranked[name].nunique() > 1]
    extra += ["tokens"] if ranking.ranked["tokens"].nunique() > 1 else []
    extra += ["variant"] if ranking.table["variant"].astype(bool).any() else []
    names = ["rank", "family", "method", "student", *extra]
    tops = {
        name: top_rows(scores_of_column(ranking, column))
        for name, column in [*((task, f"task:{task}") for task in tasks), ("mean", "mean")]
    }
    every = plain_table(ranking).to_dict("records")
    return ReadingTable(
        [*names, *tasks, "mean", "retention", "params", "latency", "seeds"],
        [_reading_row(row, extra, tasks) for row in every],
        [{name for name, rows in tops.items() if row["config_id"] in rows} for row in every],
        [_seeds_note(row) for row in every],
    )


def _reading_row(row: Mapping[Any, Any], extra: Sequence[str], tasks: Sequence[str]) -> list[str]:
    return [
        text.rank_range(row["rank"], row["best_rank"], row["worst_rank"]),
        text.name(row["family"]),
        text.name(row["method"]),
        text.name(row["student"] if text.known(row["student"]) else row["teacher"]),
        *(_extra(name, row[name]) for name in extra),
        *(text.points(row[f"task:{task}"]) for task in tasks),
        text.plus_minus(row["mean"], row["low"], row["high"]),
        text.share(row["retention"]),
        text.count(row["parameters"]),
        text.milliseconds(row["latency_ms"]),
        str(row["n"]),
    ]


def _seeds_note(row: Mapping[Any, Any]) -> str:
    lack = f"lacks {row['missing']}" if row["missing"] else ""
    said = (text.SAME_STUDENT if row["constant"] else "", str(row["lost"]), lack)
    return "; ".join(part for part in said if part)


def top_rows(scores: pd.DataFrame) -> frozenset[str]:
    """The best of the complete rows with several seeds and those that cannot be told from it, by the tests of
    `statistics.rank` over all rows; none where no such row has several seeds, as one student cannot be tested.

    A row that is the same student for every seed counts as one of several. `scores`: config_id, n, mean, std, complete,
    constant."""
    firm = (scores["n"] > 1) | scores["constant"].astype(bool)
    several = scores["complete"].astype(bool) & firm & scores["mean"].notna()
    if not several.any():
        return frozenset()
    ranks = statistics.among(statistics.rank(scores), scores.loc[several, "config_id"])
    return frozenset(ranks.table["config_id"][~ranks.above[0]].astype(str))


def scores_of_column(ranking: Ranking, column: str) -> pd.DataFrame:
    """The ranked rows' scores on the mean or on the task of a column, as `top_rows` takes them."""
    rows = ranking.ranked[["config_id", "n", "mean", "std", "complete", "constant"]]
    if column == "mean":
        return rows
    task = ranking.per_task[ranking.per_task["task"] == column.removeprefix("task:")]
    return rows[["config_id", "complete", "constant"]].merge(
        task[["config_id", "n", "mean", "std"]], on="config_id"
    )


def _extra(name: str, value: Any) -> str:
    if not text.known(value):
        return text.NONE
    return text.count(value) if name == "tokens" else str(value)


def caption(ranking: Ranking) -> str:
    """What the numbers of a table for readers are."""
    return (
        f"Mean over {', '.join(ranking.tasks)}, in points, ± 95 % t interval over distilled seeds; rank "
        "(best–worst), rows that lost seeds after complete ones. In bold, of the complete rows with several seeds, the best "
        "of each column and those that cannot be told from it. "
        f"{retention_in_words(ranking)}"
    )


def _markdown(ranking: Ranking) -> bytes:
    table = reading_table(ranking)
    lines = [_bar(table.heading), _bar(["---"] * len(table.heading))]
    lines += [_bar([cell.replace("|", "\\|") for cell in row]) for row in table.marked("**{}**".format)]
    return ("\n".join([*lines, "", caption(ranking)]) + "\n").encode()


def _bar(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


FORMATS: Registry[Callable[[Ranking], bytes]] = Registry("format")
for _name, _write in (
    ("csv", _csv),
    ("parquet", _parquet),
    ("json", _json),
    ("markdown", _markdown),
):
    FORMATS.register(_name, _write)


def export(ranking: Ranking, name: str) -> bytes:
    """The ranking in the format `name`, one of `FORMATS`; InputError for another."""
    return FORMATS[name](ranking)
