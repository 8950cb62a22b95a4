"""`harness export`: a ranking as a file, or a student ready for use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import (
    RUNS,
    Database,
    DataDir,
    Debug,
    RunsDir,
    database,
    example,
    known_suite,
    shipped,
)
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.ranking.board import Board
    from harness.results.store import Store

SERVE = ("onnx", "onnxscript", "onnxruntime")
"""What the extra `serve` installs."""


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
        "harness export --model minilmv2/3l-192 --out student",
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
            metavar="STUDENT",
            help="Write this student or prepared teacher: METHOD/STUDENT for the best of its seeds by dev scores, "
            "METHOD/STUDENT/SEED, or a trial's id or its beginning; with @STEP an intermediate student.",
            show_default=False,
        ),
    ] = None,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="With --model: an ONNX file for ONNX Runtime.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --onnx: with the head of this task, fine-tuned again as recorded.",
            show_default=False,
        ),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="With --onnx and --task: an int8 file too, scored on the task's own rows."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --int8: write it even if it loses more than a point.")
    ] = False,
    data_dir: DataDir = None,
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
    scores, recipe and provenance. With --onnx it is one that ONNX Runtime loads, compared with PyTorch first.
    """
    from harness.cli.places import require_file, require_new

    if file is not None and out is not None:
        raise InputError(f"both FILE ({file}) and --out ({out}) are given; give one")
    where = file or out
    if where is None:
        raise InputError(
            "no destination: use `harness export FILE`, or `harness export --model STUDENT --out DIR`"
        )
    option = "--out" if file is None else "FILE"
    _require_onnx(onnx, {"--task": task is not None, "--int8": int8, "--force": force})
    if model is None:
        if onnx:
            raise InputError("--onnx needs a student: `harness export --model STUDENT --onnx --out DIR`")
        require_file(option, where)
        _ranking(where, format_, suite, shipped() if board_ else database(db, runs_dir))
        return
    if format_ is not None or suite is not None or board_:
        raise InputError("--format, --suite and --board apply to rankings only; leave them out with --model")
    from harness.ranking.student import export_student

    require_new(option, where)
    store = database(db, runs_dir)
    if onnx:
        wanted = {"student": model, "task": task, "int8": int8, "force": force}
        print(f"{_as_onnx(store, runs_dir, data_dir, wanted, where)} in {where}")
        return
    print(f"{export_student(store, runs_dir, model, where)} in {where}")


def _require_onnx(onnx: bool, given: Mapping[str, bool]) -> None:
    """InputError for options that mean nothing without --onnx."""
    for option, is_given in given.items():
        if is_given and not onnx:
            raise InputError(f"{option} belongs to --onnx: `harness export --model STUDENT --onnx --out DIR`")


def _as_onnx(
    store: Store, runs_dir: Path, data_dir: Path | None, wanted: Mapping[str, Any], out: Path
) -> str:
    missing = [name for name in SERVE if find_spec(name) is None]
    if missing:
        raise InputError(f"--onnx needs {' and '.join(missing)}: pip install 'distil-harness[serve]'")
    from harness.assets.sources import Sources
    from harness.service.export import Wanted, export_onnx

    def say(what: str) -> None:
        print(what, file=sys.stderr, flush=True)

    return export_onnx(store, runs_dir, Sources.from_environment(data_dir), Wanted(**wanted), out, say)


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
