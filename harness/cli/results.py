"""`harness status`, `report`, `show` and `ingest`: what is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import RUNS, AsJson, Database, Debug, RunsDir, console, database, example

if TYPE_CHECKING:
    from harness.results.store import Store


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness status --runs-dir runs"))(status)
    app.command(epilog=example("harness report --suite GLUE"))(report)
    app.command(epilog=example("harness show 3f2a91"))(show)
    app.command(epilog=example("harness ingest --runs-dir runs"))(ingest)


def status(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Count trials by kind and state, and list failures with their reasons."""
    from harness.ranking.report import render_status

    console().print(render_status(database(db, runs_dir)))


def report(
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this suite only.", show_default=False)
    ] = None,
    losses: Annotated[
        bool,
        typer.Option(
            "--losses",
            help="Instead of the ranking: each method's own loss on held-out text, before and after.",
        ),
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Rank the methods, with the uncertainty of every rank."""
    from harness.errors import InputError

    store = database(db, runs_dir)
    if losses and suite is not None:
        raise InputError("--losses: students are distilled before any suite; leave out --suite")
    if suite is not None:
        _check_suite(store, suite)
    if as_json:
        print(_losses_as_json(store) if losses else _ranking_as_json(store, suite))
    elif losses:
        from harness.ranking.losses import render_losses

        console().print(render_losses(store))
    else:
        from harness.ranking.report import render_report
        from harness.ranking.scope import Filters

        console().print(render_report(store, Filters(suite=suite)))


def _check_suite(store: Store, suite: str) -> None:
    """InputError where no result is of `suite`."""
    from harness.errors import InputError
    from harness.ranking.board import choices
    from harness.ranking.snapshot import load
    from harness.registry import did_you_mean

    suites = choices(load(store))["suite"]
    if suite not in suites:
        raise InputError(f"no results of suite {suite!r}; {did_you_mean(suite, suites)}")


def _losses_as_json(store: Store) -> str:
    """A list of rows."""
    from harness.ranking.losses import own_losses

    return str(own_losses(store).to_json(orient="records", indent=2, force_ascii=False))


def _ranking_as_json(store: Store, suite: str | None) -> str:
    """Suite -> what `harness export` writes as JSON."""
    from harness.ranking.board import choices, ranking
    from harness.ranking.export import export
    from harness.ranking.scope import Filters
    from harness.ranking.snapshot import load

    snapshot = load(store)
    suites = choices(snapshot)["suite"] if suite is None else [suite]
    boards = {one: json.loads(export(ranking(snapshot, Filters(suite=one)), "json")) for one in suites}
    return json.dumps(boards, indent=2, ensure_ascii=False)


def show(
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="A trial's id, or how it begins.", show_default=False)
    ],
    db: Database = None,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Show everything recorded about one trial."""
    from harness.ranking.report import render_trial

    console().print(render_trial(database(db, runs_dir), trial))


def ingest(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Rebuild the database from the trials' folders, which are the truth; a damaged or newer file is
    replaced."""
    from harness.errors import InputError

    if not Path(runs_dir).is_dir():
        raise InputError(f"--runs-dir {runs_dir}: no such folder")
    store = database(db, runs_dir)
    print(f"{store.path}: {store.ingest(runs_dir)}")
