"""What readers get as files: the board as one page, tables for an article, and Markdown."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.ranking import board as boards_of
from harness.ranking.board import read_board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.leader import leader_sentence
from harness.ranking.glance.not_shown import not_shown
from harness.ranking.render.exports import export
from harness.ranking.render.latex import COLUMN, latex, tex, width_of
from harness.ranking.render.row_names import row_labels
from harness.ranking.render.web.page import webpage
from harness.results.shipped_board import days_and_commits
from harness.results.store import Store
from harness.spec.languages import XNLI15

from .boards import Board, write_store
from .ingredients import GLUE, QUICK, XNLI


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Wide and long suites, two teachers, gaps, failures, several settings and single seeds."""
    methods = ("scratch", "od", "hs-last", "hs-uniform", "hs-uniform-consecutive", "minilmv2", "tinybert")
    return write_store(
        tmp_path_factory.mktemp("files") / "results.duckdb",
        Board(
            methods=methods,
            tasks=GLUE,
            gaps={"od": "rte"},
            fail={"hs-uniform": "nan"},
            distil_rates=(3e-4, 6e-4),
        ),
        Board(methods=("od", "minilmv2"), students=("4L-312",), tasks=GLUE, milestones=(250, 500)),
        Board(methods=methods, tasks=XNLI, students=("6L-384",), languages=XNLI15, teacher="xlm-r"),
        Board(tasks=QUICK, seeds=(1,)),
    )


@pytest.fixture(scope="module")
def board(store: Store) -> boards_of.Board:
    """Its board."""
    return read_board(store)


@pytest.fixture(scope="module")
def rankings(board: boards_of.Board) -> dict[str, Ranking]:
    """Suite -> every setting's row."""
    return {suite: board.ranking(Filters(suite=suite)) for suite in board.suites()}


@pytest.fixture(scope="module")
def page(board: boards_of.Board, store: Store) -> str:
    """The board as one file."""
    return webpage(board, store, board.suites()).decode()


class _Elements(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    found = _Elements(page)
    assert found.open == []
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in found.tags)
    links = [
        value for _, attributes in found.tags for name, value in attributes.items() if name in ("href", "src")
    ]
    assert links
    assert all(str(link).startswith("#") for link in links)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert sorted(ids) == sorted({str(link).removeprefix("#") for link in links})
    assert not re.search(r"url\(|@import|https?:", page)


def test_the_page_answers_for_every_suite_and_counts_what_it_leaves_out(
    page: str, board: boards_of.Board, store: Store
) -> None:
    said = re.sub(r"<[^>]+>", "", page)
    assert days_and_commits(store) in said
    assert "on synthetic CPU" in said
    for suite in board.suites():
        filters = Filters(suite=suite, one_setting=True)
        ranking = board.ranking(filters)
        labels = {str(row): str(name) for row, name in row_labels(ranking.table).items()}
        assert leader_sentence(ranking, labels).replace("**", "") in said
        assert all(answer.sentence in said for answer in board.answers(filters)[:1])
        assert all(part in said for part in not_shown(board, filters))
    assert "settings not chosen by dev scores" in said
    assert "of 111 students 2 failed" in said


def test_the_page_draws_each_interval_hollow_for_one_student(page: str, board: boards_of.Board) -> None:
    tables = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    for suite, body in zip(board.suites(), tables, strict=True):
        table = board.ranking(Filters(suite=suite, one_setting=True)).table
        rows = body.strip().splitlines()
        assert len(rows) == len(table)
        for line, row in zip(rows, table.to_dict("records"), strict=True):
            one = row["n"] <= 1 and row["family"] != "teacher"
            assert line.count('<circle class="one"') == (one and row["mean"] == row["mean"])
            assert line.count('<line class="bar"') == (row["low"] == row["low"])


@pytest.mark.parametrize("name", ["markdown", "latex", "html"])
def test_readers_see_intervals_gaps_and_the_best_in_bold(
    board: boards_of.Board, rankings: dict[str, Ranking], page: str, name: str
) -> None:
    best = rankings["GLUE"].ranked.iloc[0]
    half = 50 * (best["high"] - best["low"])
    sign = "$\\pm$" if name == "latex" else "±"
    shown = f"{100 * best['mean']:.1f} {sign} {half:.1f}"
    text, mark = {
        "markdown": (export(rankings["GLUE"], "markdown").decode(), f"**{shown}**"),
        "latex": (latex({"GLUE": rankings["GLUE"]}).decode(), f"\\textbf{{{shown}}}"),
        "html": (page, f"<b>{shown}</b>"),
    }[name]
    assert text.count(mark) == 1
    assert "lacks rte" in text


def test_latex_escapes_what_would_not_compile() -> None:
    assert tex(r"a_b & 5% {x} \y #1 ~ ^ $") == (
        r"a\_b \& 5\% \{x\} \textbackslash{}y \#1 \textasciitilde{} \textasciicircum{} \$"
    )
    assert tex("ψ") == "?"


def _tables(source: str) -> list[str]:
    return re.findall(r"\\begin\{table\}.*?\\end\{table\}", source, re.DOTALL)


def _rows(table: str) -> list[list[str]]:
    """Cells of the heading and of every row."""
    body = re.search(r"\\toprule(.*)\\bottomrule", table, re.DOTALL)
    assert body is not None
    lines = [
        line.removesuffix(r"\\").strip()
        for line in body[1].splitlines()
        if line.strip() and "rule" not in line
    ]
    return [line.split(" & ") for line in lines]


def test_every_number_of_the_ranking_stands_in_some_table_of_an_article(rankings: dict[str, Ranking]) -> None:
    for suite, ranking in rankings.items():
        tables = [_rows(table) for table in _tables(latex({suite: ranking}).decode())]
        headings = [name for table in tables for name in table[0]]
        wanted = [*(ranking.tasks if len(ranking.tasks) > 1 else ()), "mean", "seeds", "retention", "params"]
        assert [headings.count(name) for name in wanted] == [1] * len(wanted), suite
        assert all(len(table) == len(ranking.table) + 1 for table in tables)
        labels = re.findall(r"\\label\{(.*?)\}", latex({suite: ranking}).decode())
        assert len(set(labels)) == len(labels) == len(tables)


def test_a_long_suite_goes_on_in_further_tables(
    rankings: dict[str, Ranking], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.ranking.render.latex.MOST_ROWS", 10)
    ranking = rankings["GLUE"]
    tables = [_rows(table) for table in _tables(latex({"GLUE": ranking}).decode())]
    firsts = [table for table in tables if "mean" in table[0]]
    assert [len(table) - 1 for table in firsts] == [10] * (len(ranking.table) // 10) + [
        len(ranking.table) % 10
    ]


def test_no_table_is_wider_than_the_column_of_an_article(
    rankings: dict[str, Ranking], tmp_path: Path
) -> None:
    """By LaTeX itself where there is one, otherwise by the widths of its letters."""
    source = latex(rankings).decode()
    if shutil.which("pdflatex") is None:
        for table in _tables(source):
            columns = zip(*_rows(table), strict=True)
            widths = [
                max(width_of(_seen(cell), bold="textbf" in cell) for cell in column) for column in columns
            ]
            assert sum(widths) + 8 * len(widths) <= COLUMN
        return
    preamble = "\\documentclass{article}\\usepackage{booktabs}"
    (tmp_path / "t.tex").write_text(
        f"{preamble}\\begin{{document}}\n{source}\n\\end{{document}}", encoding="utf-8"
    )
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-800:]
    assert "Overfull" not in done.stdout
    assert "too large for page" not in done.stdout


def _seen(cell: str) -> str:
    """A cell as it is printed."""
    plain = cell.replace("$\\pm$", "±").replace("--", "–").replace("\\%", "%").replace("\\_", "_")
    return re.sub(r"\\textbf|\\textsuperscript|[{}]", "", plain)


def test_long_names_are_broken_into_lines(rankings: dict[str, Ranking]) -> None:
    ranking = rankings["NLI"]
    named = ranking.table.assign(method="a-method-whose-author-explains-all-of-it-in-its-name")
    long = Ranking(named, ranking.ranks, ranking.scope, ranking.models)
    (first, *_) = _tables(latex({"NLI": long}).decode())
    assert re.search(r"begin\{tabular\}\{ll?p\{\d+pt\}", first)
    assert "mean" in first
