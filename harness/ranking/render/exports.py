"""The ranking as a file: CSV, Parquet and JSON for programs, Markdown, LaTeX and HTML for readers."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Callable, Sequence
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


def reading_table(ranking: Ranking, bold: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """Heading and rows as readers see them, in points; `top_rows` of each column of scores go through `bold`."""
    tasks = list(ranking.tasks) if len(ranking.tasks) > 1 else []
    extra = [name for name in ("teacher", "language") if ranking.ranked[name].nunique() > 1]
    extra += ["tokens"] if ranking.ranked["tokens"].nunique() > 1 else []
    extra += ["variant"] if ranking.table["variant"].astype(bool).any() else []
    heading = [
        "rank",
        "family",
        "method",
        "student",
        *extra,
        *tasks,
        "mean",
        "retention",
        "params",
        "latency",
        "seeds",
    ]
    plain = plain_table(ranking)
    columns = [*(f"task:{task}" for task in tasks), "mean"]
    tops = {column: top_rows(scores_of_column(ranking, column)) for column in columns}
    rows = []
    for row in plain.to_dict("records"):
        cells = [
            text.rank_range(row["rank"], row["best_rank"], row["worst_rank"]),
            text.name(row["family"]),
            text.name(row["method"]),
            text.name(row["student"] if text.known(row["student"]) else row["teacher"]),
            *(_extra(name, row[name]) for name in extra),
        ]
        for column in columns:
            shown = (
                text.plus_minus(row["mean"], row["low"], row["high"])
                if column == "mean"
                else text.points(row[column])
            )
            cells.append(bold(shown) if row["config_id"] in tops[column] else shown)
        said = (
            text.SAME_STUDENT if row["constant"] else "",
            row["lost"],
            f"lacks {row['missing']}" if row["missing"] else "",
        )
        gaps = [part for part in said if part]
        gap = f" ({'; '.join(gaps)})" if gaps else ""
        cells += [
            text.share(row["retention"]),
            text.count(row["parameters"]),
            text.milliseconds(row["latency_ms"]),
            f"{row['n']}{gap}",
        ]
        rows.append([str(cell) for cell in cells])
    return heading, rows


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


def _caption(ranking: Ranking) -> str:
    return (
        f"Mean over {', '.join(ranking.tasks)}, in points, ± 95 % t interval over distilled seeds; rank "
        "(best–worst), rows that lost seeds after complete ones. In bold, of the complete rows with several seeds, the best "
        "of each column and those that cannot be told from it. "
        f"{retention_in_words(ranking)}"
    )


def _markdown(ranking: Ranking) -> bytes:
    heading, rows = reading_table(ranking, lambda cell: f"**{cell}**")
    lines = [_bar(heading), _bar(["---"] * len(heading))]
    lines += [_bar([cell.replace("|", "\\|") for cell in row]) for row in rows]
    return ("\n".join([*lines, "", _caption(ranking)]) + "\n").encode()


def _bar(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "±": r"$\pm$", "–": "--", "·": r"$\cdot$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def tex(cell: str) -> str:
    """Text that LaTeX sets as it is; letters beyond Latin-1 are replaced by `?`, as plain LaTeX has no
    font for them.
    """
    plain = "".join(_TEX.get(letter, letter) for letter in cell)
    return plain.encode("latin-1", "replace").decode("latin-1")


def _latex(ranking: Ranking) -> bytes:
    mark = "\0"
    heading, rows = reading_table(ranking, lambda cell: f"{mark}{cell}")
    names = heading.index("student") + 1
    lines = [
        r"% needs \usepackage{booktabs} and, with pdfLaTeX, UTF-8 input (the default)",
        r"\begin{table}[t]",
        r"  \centering\small",
        rf"  \caption{{{tex(_caption(ranking))}}}",
        rf"  \begin{{tabular}}{{{'l' * names}{'r' * (len(heading) - names)}}}",
        r"    \toprule",
        f"    {' & '.join(tex(name) for name in heading)} \\\\",
        r"    \midrule",
    ]
    for row in rows:
        cells = [rf"\textbf{{{tex(cell[1:])}}}" if cell.startswith(mark) else tex(cell) for cell in row]
        lines.append(f"    {' & '.join(cells)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
    return ("\n".join(lines) + "\n").encode()


def _html(ranking: Ranking) -> bytes:
    mark = "\0"
    heading, rows = reading_table(ranking, lambda cell: f"{mark}{cell}")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heading)
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td><b>{html.escape(cell[1:])}</b></td>"
            if cell.startswith(mark)
            else f"<td>{html.escape(cell)}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem}"
        "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
        "th,td{padding:.3rem .7rem;text-align:left;border-bottom:1px solid #8884}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta '
        f'charset="utf-8"><title>Ranking</title><style>{style}</style></head>\n'
        f"<body><table><caption>{html.escape(_caption(ranking))}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></body></html>\n"
    ).encode()


FORMATS: Registry[Callable[[Ranking], bytes]] = Registry("format")
for _name, _write in (
    ("csv", _csv),
    ("parquet", _parquet),
    ("json", _json),
    ("markdown", _markdown),
    ("latex", _latex),
    ("html", _html),
):
    FORMATS.register(_name, _write)


def export(ranking: Ranking, name: str) -> bytes:
    """The ranking in the format `name`, one of `FORMATS`; InputError for another."""
    return FORMATS[name](ranking)
