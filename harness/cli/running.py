"""`harness run`: run the missing trials of a plan."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness.cli.options import (
    RUNS,
    BackendName,
    Catalogs,
    Database,
    DataDir,
    Debug,
    RunsDir,
    Settings,
    SpecPath,
    database,
    example,
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness run quickstart --set distil.steps=200 --backend local"))(run)


def run(
    spec: SpecPath,
    settings: Settings = [],  # noqa: B006 (typer reads the default, nobody changes it)
    catalog: Catalogs = [],  # noqa: B006
    runs_dir: RunsDir = RUNS,
    db: Database = None,
    data_dir: DataDir = None,
    backend: Annotated[
        BackendName, typer.Option(help="ray, or local: one process, for tests and debugging.")
    ] = BackendName.ray,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Ray cluster to join, e.g. auto.", show_default=False),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=64,
            help="GPUs for each trial whose spec asks for none; trials with fractions share one.",
            show_default=False,
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(min=1, help="Cores of this machine to use. Default: all.", show_default=False),
    ] = None,
    update_lock: Annotated[
        bool,
        typer.Option("--update-lock", help="Ask the hub for newer revisions than those of the lock file."),
    ] = False,
    checkpoint_seconds: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Shortest time between two checkpoints of a trial."),
    ] = 15.0,
    debug: Debug = False,
) -> None:
    """Run the trials of a spec's plan that have no result yet. Ctrl-C stops cleanly; the next run continues from there."""
    from harness.cli.planned.from_spec import (
        load_plan,
        note_lock,
        require_inputs,
        require_rows,
        sources_of,
        speed_here,
    )

    loaded = load_plan(spec, catalog, settings, sources_of(data_dir), update_lock)
    plan, sources = loaded.plan, loaded.sources

    from harness.cli.planned.overlaps import refuse_overlap
    from harness.cli.planned.whole_inputs import require_cores
    from harness.cli.recording import EstimateCheck, Recorder, open_store
    from harness.devices.cores import available_cores
    from harness.plan.cost import estimate
    from harness.results.left_out import note_left_out
    from harness.schedule.listener import Listeners
    from harness.schedule.live_view import view as view_of
    from harness.schedule.recorded import PlanRecord
    from harness.schedule.run_plan import RunOptions, run_plan

    store = database(db, runs_dir)
    if PlanRecord.of(plan.trials, runs_dir).left(plan.trials, retry_failed=True):
        if address is None:
            require_cores(loaded.resolved, (trial.kind for trial in plan.trials), cpus or available_cores())
        require_inputs(plan, sources)
        require_rows(plan, sources)
        refuse_overlap(plan, sources)
    remarks = [one.sentence for one in loaded.left_out]
    if pinned := note_lock(spec, loaded):
        remarks.append(pinned)
    for line in remarks:
        print(line, file=sys.stderr)
    open_store(store, plan.trials, runs_dir)
    note_left_out(runs_dir, plan.spec, loaded.left_out)
    options = RunOptions(backend.value, address, gpus, cpus, checkpoint_seconds=checkpoint_seconds)
    view = view_of()
    check = EstimateCheck(estimate(plan, speed_here(plan, runs_dir, sources, measure=address is None)))
    listeners = Listeners(Recorder(store, runs_dir, view), view, check)
    summary = run_plan(plan, runs_dir, sources, options, listeners)
    if comparison := check.sentence:
        print(comparison, file=sys.stderr)
    raise typer.Exit(summary.exit_code)
