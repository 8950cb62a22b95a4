"""The ranking in a terminal, as a rich renderable."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.unscored import unscored_in_words
from harness.ranking.render.ranking_lines import MOST_ROWS, ranking_lines
from harness.ranking.render.text import other_protocols_in_words
from harness.ranking.render.trials import render_status
from harness.ranking.single_students import CAVEAT, beside_controls
from harness.ranking.statistics.guessing import AT_GUESSING
from harness.results.left_out import read_left_out
from harness.results.store import Store

MOST_ANSWERS = 2
"""Pairs of families that are answered for."""


def render_report(
    store: Store,
    board: Board,
    suites: Sequence[str] | None = None,
    *,
    most_rows: int | None = MOST_ROWS,
    ids: bool = False,
) -> RenderableType:
    """The ranking of `suites` (default: of every one), each in rank order, at most `most_rows` ranked rows; with `ids`
    the trials behind each row. `board` is what `store` holds.
    """
    if board.empty:
        return Group(Text("Nothing has been scored yet."), *_left_out(store), render_status(store))
    parts: list[RenderableType] = []
    for suite in board.suites() if suites is None else suites:
        parts += [_suite(store, board, Filters(suite=suite), most_rows, ids), Text()]
    parts += _left_out(store)
    parts.append(_footnotes(board))
    return Group(*parts)


def _left_out(store: Store) -> list[Text]:
    return [Text(one.sentence, style="yellow") for one in read_left_out(store.runs_dir)]


def _suite(store: Store, board: Board, filters: Filters, most_rows: int | None, ids: bool) -> RenderableType:
    ranking = board.ranking(filters)
    parts: list[RenderableType] = [Text(str(filters.suite), style="bold underline")]
    parts += [Text(answer.sentence) for answer in board.answers(filters)[:MOST_ANSWERS]]
    parts += [Text(line) for line in _single_students(store, board, filters)]
    parts.append(ranking_lines(ranking, most_rows, ids=ids))
    unscored = unscored_in_words(board.frames.evaluations, filters.suite)
    if unscored:
        parts.append(Text(f"{unscored}.", style="yellow"))
    if ranking.other_protocols:
        parts.append(Text(f"{other_protocols_in_words(ranking.other_protocols)}.", style="dim"))
    return Group(*parts)


def _single_students(store: Store, board: Board, filters: Filters) -> list[str]:
    """What a suite of one seed each can say."""
    told = [one.sentence for one in beside_controls(store, board, filters)]
    return [*told, CAVEAT] if told else []


def _footnotes(board: Board) -> Text:
    timed = board.timings()
    lines = [
        "mean: points over the suite's tasks, 95 % t interval over distilled seeds (n); rank "
        "(best–worst) as far as the data tell rows apart; rows that lost seeds come after complete ones.",
        "ahead: one complete configuration a family, chosen by dev scores, among those with the same teacher, corpus, "
        "shape, initialisation, steps, batch and input; intervals (95 %) pay for the choice and hold for all pairs.",
        "retention: (score − guessing) / (teacher − guessing) of the teacher that a row learnt from, over tasks whose "
        "level of guessing is known; blank at guessing on every task.",
        f"at guessing: {AT_GUESSING}.",
    ]
    if len(timed):
        lines.append(f"latency: {timed['protocol'].iloc[0]}; {timed['device'].iloc[0]}.")
    return Text("\n".join(lines), style="dim")
