"""Rankings as LaTeX tables that fit the column of an article.

A table that would be wider than the column goes on in a second one under the same names, settings and notes stand below as
letters, and every suite has tables of its own. Widths are those of Computer Modern, so that no LaTeX is needed to know them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from harness.ranking.cells.table import Ranking
from harness.ranking.render.exports import ReadingTable, caption, reading_table

COLUMN = 345.0
"""Points: the text width of LaTeX's `article` at 10 pt, in one column."""
SIZE = 8.0
r"""Points: `\footnotesize`."""
GAP = 4.0
r"""Points on either side of each column, `\tabcolsep`."""
MOST_NAMES = (95.0, 80.0, 65.0, 50.0)
"""Points: longer names are broken into lines; the first of these that leaves room for the mean and seeds."""
APART = ("teacher", "language", "tokens", "variant")
"""Headings of what is said below the table, where rows differ in it."""
MOST_ROWS = 40
"""Rows of one table, which are a page."""
MORE = 1.08
"""Letters of 8 pt are wider in proportion than those of 10 pt."""
BOLD = 1.17
"""Width of bold letters, in proportion."""
_WIDTHS = {
    "il.,:;'|!": 0.278, "fjt/()[]·": 0.389, "rsz-": 0.394, " ": 0.334, "ceo": 0.5, "akvxy": 0.528, "bdhnpqu": 0.556,
    "0123456789–*": 0.5, "wABCDEFGHIJKLNOPQRSTUVXYZ±<>=+−&": 0.786, "mMW%@": 1.03,
}  # fmt: skip
"""Letters of Computer Modern Roman -> at most this wide, in em at 10 pt (cmr10.tfm)."""
WIDTHS = {letter: width for letters, width in _WIDTHS.items() for letter in letters}

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "±": r"$\pm$", "–": "--", "−": "$-$", "·": r"$\cdot$", "×": r"$\times$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


def tex(cell: str) -> str:
    """Text that LaTeX sets as it is; letters beyond Latin-1 are replaced by `?`, as plain LaTeX has no
    font for them.
    """
    plain = "".join(_TEX.get(letter, letter) for letter in cell)
    return plain.encode("latin-1", "replace").decode("latin-1")


def width_of(cell: str, bold: bool = False) -> float:
    """Points that a text takes in a table, rather more than less."""
    return sum(WIDTHS.get(letter, 0.8) for letter in cell) * SIZE * MORE * (BOLD if bold else 1)


@dataclass(frozen=True)
class TexColumn:
    """One column of a table."""

    heading: str
    cells: Sequence[str]
    """As readers see them."""
    bold: Sequence[bool]
    marks: Sequence[str]
    """Letters of the notes below the table."""
    left: bool
    most: float = MOST_NAMES[0]
    """Points, of a name's column."""

    @property
    def width(self) -> float:
        """Points with the gap on both sides."""
        cells = zip(self.cells, self.bold, self.marks, strict=True)
        widest = max(width_of(cell + mark, bold) for cell, bold, mark in [(self.heading, False, ""), *cells])
        return (min(widest, self.most) if self.left else widest) + 2 * GAP

    @property
    def kind(self) -> str:
        """How LaTeX aligns it."""
        if self.left and self.width >= self.most + 2 * GAP:
            return f"p{{{self.most:g}pt}}"
        return "l" if self.left else "r"

    def written(self, row: int) -> str:
        """One cell as LaTeX."""
        mark = rf"\textsuperscript{{{self.marks[row]}}}" if self.marks[row] else ""
        cell = tex(self.cells[row])
        broken = r"\raggedright " if self.kind.startswith("p") else ""
        return broken + (rf"\textbf{{{cell}}}" if self.bold[row] else cell) + mark


def latex(rankings: Mapping[str, Ranking]) -> bytes:
    """The tables of every suite, by its name."""
    head = [
        r"% needs \usepackage{booktabs} and, with pdfLaTeX, UTF-8 input (the default)",
        f"% no table is wider than {COLUMN:g}pt, the text of an article; in two columns write table* for table",
    ]
    parts = [table for suite, ranking in rankings.items() for table in _tables(suite, ranking)]
    return ("\n".join([*head, *parts]) + "\n").encode()


def _tables(suite: str, ranking: Ranking) -> Iterator[str]:
    """The tables of one suite."""
    whole = reading_table(ranking)
    label = re.sub(r"\W+", "-", suite).strip("-").lower()
    said = f"{suite}. {caption(ranking)}"
    number = 0
    for start in range(0, len(whole.rows), MOST_ROWS):
        rows = slice(start, start + MOST_ROWS)
        part = ReadingTable(whole.heading, whole.rows[rows], whole.bold[rows], whole.notes[rows])
        columns, below = _columns(part)
        for shown in packed(columns):
            number += 1
            named = label if number == 1 else f"{label}-{number}"
            yield _table(shown, said, named, below)
            said = f"{suite}, continued from Table~\\ref{{tab:{label}}}."


def _columns(table: ReadingTable) -> tuple[list[TexColumn], str]:
    """Its columns, in the order in which they are wanted, and what stands below them."""
    notes, settings = _lettered(table.notes), _lettered(_settings(table), str.upper)
    names = table.heading[: table.heading.index("student") + 1]
    known = {*names, *APART, "mean", "seeds", "retention", "params", "latency"}
    tasks = [name for name in table.heading if name not in known]
    columns = [_column(table, name, _cells(table, name), left=True) for name in names]
    if settings:
        columns.append(
            _column(table, "set", [settings.get(said, "") for said in _settings(table)], left=True)
        )
    for name in ["mean", "seeds", *tasks, "retention", "params", "latency"]:
        marks = [notes.get(note, "") for note in table.notes] if name == "seeds" else None
        columns.append(_column(table, name, _cells(table, name), marks))
    listed = [(letter, text) for letters in (settings, notes) for text, letter in letters.items()]
    return columns, tex("; ".join(f"{letter}: {text}" for letter, text in listed))


def _settings(table: ReadingTable) -> list[str]:
    """Of each row what else sets it apart: `teacher xlm-r, language xnli15, lr 6e-4`."""
    said = [
        [cell if name == "variant" else f"{name} {cell}" for cell in _cells(table, name)]
        for name in APART
        if name in table.heading
    ]
    return [", ".join(one for one in row if one) for row in zip(*said, strict=True)] or [""] * len(table.rows)


def _column(
    table: ReadingTable, name: str, cells: list[str], marks: list[str] | None = None, left: bool = False
) -> TexColumn:
    bold = [name in headings for headings in table.bold]
    return TexColumn(name, cells, bold, marks or [""] * len(cells), left)


def _cells(table: ReadingTable, name: str) -> list[str]:
    return [row[table.heading.index(name)] for row in table.rows] if name in table.heading else []


def _lettered(texts: Sequence[str], letters: Callable[[str], str] = str) -> dict[str, str]:
    """Each different text -> a, b, … z, aa, ab, …"""
    each = list(dict.fromkeys(text for text in texts if text))
    names = [*ascii_lowercase, *(first + second for first in ascii_lowercase for second in ascii_lowercase)]
    return {text: letters(name) for text, name in zip(each, names, strict=False)}


def packed(columns: Sequence[TexColumn]) -> Iterator[list[TexColumn]]:
    """The columns in as few tables as the width of an article's column allows; each opens with the names, of which rank and
    family stand in the first table only."""
    named, numbers = ([column for column in columns if column.left is left] for left in (True, False))
    narrowed = ([replace(column, most=most) for column in named] for most in MOST_NAMES)
    room = COLUMN - sum(column.width for column in numbers[:2])
    names = next((some for some in narrowed if sum(one.width for one in some) <= room), named)
    opening = names
    shown: list[TexColumn] = []
    for column in numbers:
        if shown and sum(one.width for one in [*opening, *shown, column]) > COLUMN:
            yield [*opening, *shown]
            opening, shown = [name for name in names if name.heading not in ("rank", "family")], []
        shown.append(column)
    yield [*opening, *shown]


def _table(columns: Sequence[TexColumn], said: str, label: str, below: str) -> str:
    kinds = "".join(column.kind for column in columns)
    lines = [
        r"\begin{table}[t]",
        rf"  \centering\footnotesize\setlength{{\tabcolsep}}{{{GAP:g}pt}}",
        rf"  \caption{{{said if said.endswith('}.') else tex(said)}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \begin{{tabular}}{{{kinds}}}",
        r"    \toprule",
        f"    {' & '.join(tex(column.heading) for column in columns)} \\\\",
        r"    \midrule",
    ]
    for row in range(len(columns[0].cells)):
        lines.append(f"    {' & '.join(column.written(row) for column in columns)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [rf"  \par\smallskip\parbox{{\columnwidth}}{{\raggedright {below}}}"] if below else []
    return "\n".join([*lines, r"\end{table}"])
