"""`harness export`: a ranking as a file, or a student ready for use."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import RUNS, Database, Debug, RunsDir, database, example, known_suite, shipped
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.ranking.board import Board
    from harness.results.store import Store


class Format(StrEnum):
    """File formats of a ranking."""

    csv = "csv"
    parquet = "parquet"
    json = "json"
    markdown = "markdown"
    latex = "latex"
    html = "html"


FORMAT_OF = {
    ".csv": Format.csv,
    ".parquet": Format.parquet,
    ".json": Format.json,
    ".md": Format.markdown,
    ".tex": Format.latex,
    ".html": Format.html,
}
"""File extension -> format."""
EVERY_SUITE = (Format.latex, Format.html)
"""Formats that hold several suites."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    examples = (
        "harness export board.html",
        "harness export ranking.md --suite GLUE",
        "harness export --model 3f2a91 --out student",
    )
    app.command(epilog=example("   ·   ".join(examples)))(export)


def export(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="Ending in .csv, .parquet, .json, .md, .tex or .html.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="FILE, or the new folder of --model.", show_default=False),
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Default: by FILE's ending.", show_default=False)
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One suite of tasks; .html and .tex hold every suite without it.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL",
            help="Write the model of this distil or prepare trial (its id or the beginning of it; "
            "TRIAL@STEP for an intermediate student).",
            show_default=False,
        ),
    ] = None,
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    board_: Annotated[
        bool, typer.Option("--board", help="Of the results that ship with the harness, instead of your own.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Write the ranking to a file, or with --model a student ready for use.

    A file ending in .html is the whole board to pass on: answers, tables and charts, without a network or a script; one
    in .tex has tables that fit the column of an article.

    A student is a folder that loads with `from_pretrained`: safetensors, tokenizer and a model card with its
    scores, recipe and provenance. ONNX is not written: no maintained exporter takes the transformers this
    harness stands on.
    """
    from harness.cli.places import require_file, require_new

    if file is not None and out is not None:
        raise InputError(f"both FILE ({file}) and --out ({out}) are given; give one")
    where = file or out
    if where is None:
        raise InputError(
            "no destination: use `harness export FILE`, or `harness export --model TRIAL --out DIR`"
        )
    option = "--out" if file is None else "FILE"
    if model is None:
        require_file(option, where)
        _ranking(where, format_, suite, shipped() if board_ else database(db, runs_dir))
        return
    if format_ is not None or suite is not None or board_:
        raise InputError("--format, --suite and --board apply to rankings only; leave them out with --model")
    from harness.ranking.student import export_student

    require_new(option, where)
    print(f"{export_student(database(db, runs_dir), runs_dir, model, where)} in {where}")


def _ranking(out: Path, named: Format | None, suite: str | None, store: Store) -> None:
    from harness.ranking.board import read_board

    chosen = named or FORMAT_OF.get(out.suffix)
    if chosen is None:
        raise InputError(
            f"{out}: unknown ending; it must be one of {', '.join(FORMAT_OF)}, or name the format with --format"
        )
    board = read_board(store)
    suites = board.suites() if suite is None else [known_suite(board, suite)]
    if not suites or (len(suites) > 1 and chosen not in EVERY_SUITE):
        raise InputError(f"name one suite with --suite: {', '.join(suites) or 'nothing has been scored yet'}")
    out.write_bytes(_written(board, store, suites, chosen))
    print(out)


def _written(board: Board, store: Store, suites: list[str], chosen: Format) -> bytes:
    """The file's content."""
    from harness.ranking.cells.scope import Filters
    from harness.ranking.render.exports import export as formatted
    from harness.ranking.render.latex import latex
    from harness.ranking.render.web.page import webpage

    if chosen == Format.html:
        return webpage(board, store, suites)
    rankings = {suite: board.ranking(Filters(suite=suite)) for suite in suites}
    return latex(rankings) if chosen == Format.latex else formatted(rankings[suites[0]], chosen)
