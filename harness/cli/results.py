"""`harness status`, `report`, `show` and `ingest`: recorded results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import (
    RUNS,
    AsJson,
    Database,
    Debug,
    RunsDir,
    console,
    database,
    example,
    known_suite,
    shipped,
)
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.ranking.board import Board
    from harness.results.store import Store


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness status --runs-dir runs"))(status)
    app.command(epilog=example("harness report --suite GLUE"))(report)
    app.command(epilog=example("harness show 3f2a91"))(show)
    app.command(epilog=example("harness ingest --runs-dir runs"))(ingest)


def status(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Count trials by kind and state, and list failures with their reasons."""
    from harness.ranking.render.trials import render_status

    console().print(render_status(database(db, runs_dir)))


def report(
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show this suite only.", show_default=False)
    ] = None,
    losses: Annotated[
        bool,
        typer.Option(
            "--losses",
            help="Instead of the ranking: each method's own loss on held-out text, before and after.",
        ),
    ] = False,
    board_: Annotated[
        bool, typer.Option("--board", help="Of the results that ship with the harness, instead of your own.")
    ] = False,
    ids: Annotated[
        bool,
        typer.Option("--ids", help="Under each row the trials that made its students, for `harness show`."),
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Rank the methods, with the uncertainty of every rank."""
    if losses and suite is not None:
        raise InputError("--losses covers distillation, which belongs to no suite; leave out --suite")
    store = shipped() if board_ else database(db, runs_dir)
    if losses:
        _report_losses(store, as_json)
        return
    from harness.ranking.board import read_board

    board = read_board(store)
    suites = board.suites() if suite is None else [known_suite(board, suite)]
    if as_json:
        print(_ranking_as_json(board, suites))
        return
    from harness.ranking.render.report import render_report

    console().print(render_report(store, board, suites, ids=ids))


def _report_losses(store: Store, as_json: bool) -> None:
    if as_json:
        from harness.ranking.losses import own_losses

        print(own_losses(store).to_json(orient="records", indent=2))
        return
    from harness.ranking.render.loss_table import render_losses

    console().print(render_losses(store))


def _ranking_as_json(board: Board, suites: Sequence[str]) -> str:
    """Suite -> the JSON that `harness export` writes."""
    from harness.ranking.cells.scope import Filters
    from harness.ranking.render.exports import export

    rankings = {one: json.loads(export(board.ranking(Filters(suite=one)), "json")) for one in suites}
    return json.dumps(rankings, indent=2)


def show(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A trial's id, or the beginning of it.", show_default=False)
    ],
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Show everything recorded about one trial."""
    from harness.ranking.render.trials import render_trial

    console().print(render_trial(database(db, runs_dir), trial))


def ingest(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Rebuild the database from the trials' folders, which are the truth; a damaged or newer file is replaced."""
    from harness.cli.places import require_database

    if not Path(runs_dir).is_dir():
        raise InputError(f"--runs-dir {runs_dir}: no such folder")
    require_database(runs_dir, db)
    store = database(db, runs_dir)
    print(f"{store.path}: {store.ingest(runs_dir)}")
