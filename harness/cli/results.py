"""`harness status`, `report`, `show` and `ingest`: what is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RUNS, Database, Debug, RunsDir, console, database, example


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness status --runs-dir runs"))(status)
    app.command(epilog=example("harness report --suite GLUE"))(report)
    app.command(epilog=example("harness show 3f2a91"))(show)
    app.command(epilog=example("harness ingest --runs-dir runs"))(ingest)


def status(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Count trials by kind and state, and list failures with their reasons."""
    from harness.results.report import render_status

    console().print(render_status(database(db, runs_dir)))


def report(
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this suite only.", show_default=False)
    ] = None,
    debug: Debug = False,
) -> None:
    """Rank the methods, with the uncertainty of every rank."""
    from harness.results.ranking import Filters
    from harness.results.report import render_report

    console().print(render_report(database(db, runs_dir), Filters(suite=suite)))


def show(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A trial's id, or how it begins.", show_default=False)
    ],
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Show everything recorded about one trial."""
    from harness.results.report import render_trial

    console().print(render_trial(database(db, runs_dir), trial))


def ingest(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Rebuild the database from the trials' folders, which are the truth; a damaged or newer file is
    replaced."""
    from harness.errors import InputError

    if not Path(runs_dir).is_dir():
        raise InputError(f"--runs-dir {runs_dir}: no such folder")
    store = database(db, runs_dir)
    print(f"{store.path}: {store.ingest(runs_dir)}")
