"""`harness run`: run the missing trials of a plan."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from harness.schedule.listener import RunSummary


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness run quickstart --set distil.steps=200 --backend local"))(run)


def next_command(summary: RunSummary, again: Sequence[str], where: Sequence[str]) -> str:
    """The last line of a run: what to type next. `again` is the command that was run; `where`, the options that name
    its results."""
    if summary.failed or summary.blocked:
        return f"next, why trials failed: {shlex.join(['harness', 'status', *where])}"
    if summary.interrupted or summary.left:
        return f"next, to go on from here: {shlex.join(again)}"
    leaderboard, report = (shlex.join(["harness", command, *where]) for command in ("leaderboard", "report"))
    return f"next: {leaderboard}   (or, in the terminal, {report})"


def hindsight_of(summary: RunSummary, expected: float | None, work: str | None) -> str | None:
    """What the run took beside what was expected; None where no trial ended well."""
    if work is None or expected is None or summary.interrupted:
        return work
    from harness.ranking.render.text import duration, rough_duration

    return f"{duration(summary.seconds)} by the clock; {rough_duration(expected)} were expected at the start; {work}"


def _given(option: str, value: object) -> list[str]:
    return [] if value is None else [option, str(value)]


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
    from harness.cli.places import require_results
    from harness.cli.planned.from_spec import (
        load_plan,
        note_lock,
        require_inputs,
        require_rows,
        sources_of,
        speed_here,
    )

    require_results(runs_dir, db)
    loaded = load_plan(spec, catalog, settings, sources_of(data_dir), update_lock)
    plan, sources = loaded.plan, loaded.sources

    from harness.cli.planned.overlaps import refuse_overlap
    from harness.cli.planned.whole_inputs import require_cores
    from harness.cli.recording import EstimateCheck, Recorder, open_store
    from harness.devices.cores import available_cores
    from harness.plan.cost import Estimate
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
        refuse_overlap(plan, loaded.resolved, sources)
    remarks = [one.sentence for one in loaded.left_out]
    if pinned := note_lock(spec, loaded):
        remarks.append(pinned)
    for line in remarks:
        print(line, file=sys.stderr)
    open_store(store, plan.trials, runs_dir)
    note_left_out(runs_dir, plan.spec, loaded.left_out)
    options = RunOptions(backend.value, address, gpus, cpus, checkpoint_seconds=checkpoint_seconds)
    estimate = Estimate(plan.by_id, speed_here(plan, runs_dir, sources, measure=address is None))
    view, check = view_of(estimate=estimate), EstimateCheck(estimate)
    listeners = Listeners(Recorder(store, runs_dir, view), view, check)
    summary = run_plan(plan, runs_dir, sources, options, listeners)
    if comparison := hindsight_of(summary, view.expected, check.sentence):
        print(comparison, file=sys.stderr)
    where = ["--runs-dir", str(runs_dir), *_given("--db", db)]
    again = [
        "harness",
        "run",
        str(spec),
        *where,
        *_given("--data-dir", data_dir),
        *_given("--backend", backend.value),
    ]
    again += [*_given("--address", address), *_given("--gpus", gpus), *_given("--cpus", cpus)]
    again += [
        word
        for name, values in (("--set", settings), ("--catalog", catalog))
        for one in values
        for word in (name, str(one))
    ]
    print(next_command(summary, again, where), file=sys.stderr)
    raise typer.Exit(summary.exit_code)
