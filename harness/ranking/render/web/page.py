"""The board as one HTML file to pass on: it needs no network, runs no script, and is light or dark as its reader is."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import pandas as pd

from harness.counted import counted
from harness.ranking.board import Board
from harness.ranking.cells.scope import Filters
from harness.ranking.cells.table import Ranking
from harness.ranking.glance.leader import compared_in_words, leader_sentence
from harness.ranking.glance.not_shown import not_shown
from harness.ranking.render import text
from harness.ranking.render.colours import COLOURS
from harness.ranking.render.exports import caption, reading_table
from harness.ranking.render.row_names import row_labels
from harness.ranking.render.web import drawings
from harness.ranking.render.web.html_text import bold, with_tooltips
from harness.results.shipped_board import days_and_commits
from harness.results.store import Store

STYLE = """
:root { color-scheme: light dark; --ink: #1c2128; --soft: #57606a; --line: #d0d7de; --ground: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a2abb5; --line: #30363d; --ground: #101317; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 1180px;
  color: var(--ink); background: var(--ground); }
a { color: inherit; } .meta { color: var(--soft); font-size: .88rem; }
.answer { font-size: 1.12rem; border-left: 3px solid var(--family, var(--soft)); padding-left: .9rem; }
.wide { overflow-x: auto; } .wide:focus-visible { outline: 2px solid #3b82f6; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap; }
svg { vertical-align: middle; } svg text { font: 11px system-ui, sans-serif; fill: var(--ink); }
svg .name { font-size: 10px; } .grid { stroke: var(--line); } .front { fill: none; stroke: var(--soft); }
.bar { stroke: var(--family); stroke-width: 2.5; opacity: .55; } .several { fill: var(--family); }
.one { fill: none; stroke: var(--family); stroke-width: 1.5; }
.of { stroke: var(--family); stroke-dasharray: 3 3; opacity: .6; }
""" + "\n".join(f".{family} {{ --family: {colour}; }}" for family, colour in COLOURS.items())

INTERVAL = "95 % interval"


def webpage(board: Board, store: Store, suites: Sequence[str]) -> bytes:
    """A section for each suite: what is compared, the answer, the table with its intervals drawn, quality against cost, and
    what is not shown."""
    links = " · ".join(f'<a href="#{_anchor(suite)}">{html.escape(suite)}</a>' for suite in suites)
    parts = [
        "<h1>Distillation leaderboard</h1>",
        f'<p class="meta">{html.escape(_about(store))}</p>',
        *([f"<nav>{links}</nav>"] if len(suites) > 1 else []),
        *(line for suite in suites for line in _suite(board, suite)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Distillation leaderboard</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    ).encode()


def _anchor(suite: str) -> str:
    return html.escape("suite-" + "-".join(suite.split()), quote=True)


def _about(store: Store) -> str:
    """When, by which commit and on what the results were obtained."""
    devices = store.frame("SELECT DISTINCT device FROM trials WHERE device IS NOT NULL ORDER BY 1")["device"]
    on = f" on {', '.join(map(str, devices))}" if len(devices) else ""
    return f"Results of {days_and_commits(store) or 'trials that are under way'}{on}."


def _suite(board: Board, suite: str) -> Iterator[str]:
    filters = Filters(suite=suite, one_setting=True)
    ranking = board.ranking(filters)
    labels = row_labels(ranking.table)
    yield f'<h2 id="{_anchor(suite)}">{html.escape(suite)}</h2>'
    yield f'<p class="meta">{with_tooltips(compared_in_words(ranking, suite))}</p>'
    leader = leader_sentence(ranking, {str(row): str(name) for row, name in labels.items()})
    family = str(ranking.ranked["family"].iloc[0]) if len(ranking.ranked) else "teacher"
    yield f'<p class="answer {family}">{bold(with_tooltips(leader))}</p>'
    for answer in board.answers(filters)[:1]:
        yield f'<p class="answer {answer.comparison.a}">{with_tooltips(answer.sentence)}</p>'
    yield _scrolled(_table(ranking), f"Ranking of {suite}")
    yield f'<p class="meta">{html.escape(caption(ranking))} Dashed: teachers.</p>'
    drawn = drawings.trade_off(ranking.table, labels)
    if drawn:
        yield _scrolled(drawn, f"Quality against cost on {suite}")
        yield (
            f'<p class="meta">Line: the Pareto front of the complete students by mean. Bars: 95 % intervals. Hollow: one '
            f"student, whose spread is not known. {html.escape(_timed(board))}</p>"
        )
    yield f'<p class="meta">{html.escape(_left_out(board, filters, ranking))}</p>'


def _scrolled(content: str, name: str) -> str:
    """What may be wider than the screen, reached by key."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(name)}">{content}</div>'


def _table(ranking: Ranking) -> str:
    """The table for readers, the mean and its interval, drawn, before what is wide."""
    shown = reading_table(ranking)
    bars = drawings.interval_bars(ranking.table, ranking.references)
    rows = [
        dict(zip(shown.heading, cells, strict=True)) | {INTERVAL: bar}
        for cells, bar in zip(shown.marked(_bold_cell, html.escape), bars, strict=True)
    ]
    names = shown.heading[: shown.heading.index("student") + 1]
    first = [*names, "mean", INTERVAL, "seeds"]
    order = [*first, *(name for name in shown.heading if name not in (*first, "variant"))]
    order += ["variant"] if "variant" in shown.heading else []
    heading = "".join(f"<th>{'settings' if name == 'variant' else html.escape(name)}</th>" for name in order)
    lines = [f"<tr>{''.join(f'<td>{row[name]}</td>' for name in order)}</tr>" for row in rows]
    body = "\n".join(lines)
    return f"<table><thead><tr>{heading}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _bold_cell(cell: str) -> str:
    return f"<b>{html.escape(cell)}</b>"


def _timed(board: Board) -> str:
    timed: pd.DataFrame = board.timings()
    return f"Latency: {timed['protocol'].iloc[0]}; {timed['device'].iloc[0]}." if len(timed) else ""


def _left_out(board: Board, filters: Filters, ranking: Ranking) -> str:
    parts = not_shown(board, filters)
    if ranking.other_protocols:
        parts.append(text.other_protocols_in_words(ranking.other_protocols))
    incomplete = counted(int((~ranking.ranked["complete"].astype(bool)).sum()), "row")
    said = f"Left out: {'; '.join(parts)}." if parts else "Nothing is left out."
    return f"{said} {incomplete} of {len(ranking.ranked)} incomplete."
