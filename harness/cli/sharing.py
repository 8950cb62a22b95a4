"""`harness verify`, `gc`, `bundle` and `import`: maintaining and sharing results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RUNS, Database, Debug, RunsDir, database, example
from harness.counted import counted
from harness.errors import EXIT_TRIALS_FAILED, InputError


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness verify --runs-dir runs"))(verify)
    app.command(epilog=example("harness gc   ·   harness gc --yes"))(gc)
    app.command(epilog=example("harness bundle results.zip --origin 'our lab, 2026'"))(bundle)
    app.command("import", epilog=example("harness import results.zip"))(import_)


def verify(db: Database = None, runs_dir: RunsDir = RUNS, debug: Debug = False) -> None:
    """Check that ids, hashes, files and database rows agree."""
    from harness.records.folder import trial_folders
    from harness.results.verify import verify as disagreements

    _require(runs_dir)
    problems = disagreements(runs_dir, database(db, runs_dir))
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(EXIT_TRIALS_FAILED)
    count = sum(1 for _ in trial_folders(runs_dir))
    print(
        f"everything agrees ({counted(count, 'trial')})"
        if count
        else f"{runs_dir}: no trial is recorded here"
    )


def gc(
    runs_dir: RunsDir = RUNS,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights",
            help="Also the weights of students whose evaluations are done, those on the board among them: they "
            "stay ranked, but can no longer be exported, and a further task distils them again.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is listed.")] = False,
    debug: Debug = False,
) -> None:
    """List checkpoints and temporary files that no result needs any more, and with --yes remove them.

    Weights of students are never among them without --weights.
    """
    from harness.results.gc import garbage, remove

    _require(runs_dir)
    items = garbage(runs_dir, weights=weights)
    for item in items:
        print(f"{item.bytes / 1e6:10.1f} MB  {item.path}  ({item.reason})")
    if not items:
        print("nothing to remove")
        return
    if shown := len({item.path.parent for item in items if item.on_board}):
        print(f"students on the board that lose their weights: {shown}")
    total = sum(item.bytes for item in items)
    print(
        f"{remove(items) / 1e6:.1f} MB freed"
        if yes
        else f"{total / 1e6:10.1f} MB  in all; --yes removes them"
    )


def bundle(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", help="A new .zip, or a new folder.", show_default=False)
    ],
    origin: Annotated[str, typer.Option(help="Who produced the results, as free text.")] = "",
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Only students distilled with this seed, and what they share with others (teachers, external models).",
            show_default=False,
        ),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Smaller: predictions without the scores of each class, and fewer points of learning curves.",
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
    debug: Debug = False,
) -> None:
    """Pack trials that ended well, with their predictions and without weights, to pass on."""
    from harness.cli.places import require_new
    from harness.results.bundle import bundle as pack
    from harness.results.bundle import trials_of_seed

    _require(runs_dir)
    require_new("FILE", out)
    trials = None if seed is None else trials_of_seed(runs_dir, seed)
    count = pack(runs_dir, out, origin=origin, trials=trials, compact=compact)
    size = (
        out.stat().st_size if out.is_file() else sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
    )
    print(f"{counted(count, 'trial')} in {out}, {size:,} bytes ({size / max(count, 1):,.0f} a trial)")


def import_(
    path: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A bundle: .zip or folder.", show_default=False)
    ],
    runs_dir: RunsDir = RUNS,
    db: Database = None,
    debug: Debug = False,
) -> None:
    """Check a bundle's hashes, ids and scores, then merge what is new. Nothing in it is ever executed."""
    from harness.cli.places import require_results
    from harness.results.bundle import import_bundle

    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    require_results(runs_dir, db)
    report = import_bundle(path, runs_dir)
    outcome = f"{counted(len(report.merged), 'trial')} merged, {len(report.known)} already present"
    print(f"{outcome}; {database(db, runs_dir).ingest(runs_dir)}")


def _require(runs_dir: Path) -> None:
    if not runs_dir.is_dir():
        raise InputError(f"--runs-dir {runs_dir}: no such folder")
