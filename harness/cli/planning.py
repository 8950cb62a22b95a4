"""`harness plan` and `harness validate`: the trials of a spec, and whether it is valid. Nothing is written."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import (
    RUNS,
    AsJson,
    Catalogs,
    DataDir,
    Debug,
    RunsDir,
    Settings,
    SpecPath,
    console,
    example,
)
from harness.counted import counted
from harness.errors import EXIT_INPUT_WRONG, HarnessError, InputError, SpecError

if TYPE_CHECKING:
    from rich.table import Table

    from harness.assets.sources import Sources
    from harness.plan import Plan
    from harness.plan.cost import Speed
    from harness.records.trial import Trial

MOST_ROWS = 60
"""Rows of a printed table at most; `--trials` lists all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(epilog=example("harness plan quickstart --set distil.steps=100"))(plan)
    app.command(epilog=example("harness validate quickstart my/methods/"))(validate)


def plan(
    spec: SpecPath,
    settings: Settings = [],  # noqa: B006 (typer reads the default, nobody changes it)
    catalog: Catalogs = [],  # noqa: B006
    runs_dir: RunsDir = RUNS,
    data_dir: DataDir = None,
    trials: Annotated[bool, typer.Option("--trials", help="List every trial with its id.")] = False,
    survey: Annotated[
        bool, typer.Option("--survey", help="Fetch and count the corpora, whatever their size.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the trials that a spec asks for, what is done already, and what the rest roughly costs."""
    from harness.cli.planned.from_spec import load_plan, sources_of, speed_here
    from harness.cli.planned.overlaps import not_counted, survey_remarks, survey_table, surveys
    from harness.cli.planned.whole_inputs import shared_rows
    from harness.plan.cost import Estimate, estimate
    from harness.schedule.dispatch.rehearsal import Machines
    from harness.schedule.live_view import expected
    from harness.schedule.local import this_machine
    from harness.schedule.outlook import Outlook

    loaded = load_plan(spec, catalog, settings, sources_of(data_dir))
    planned = loaded.plan
    surveyed = list(surveys(planned, loaded.sources, fetch=survey))
    shared = shared_rows(planned.tasks, loaded.sources)
    speed = speed_here(planned, runs_dir, loaded.sources, measure=True)
    seconds = estimate(planned, speed)
    done = _done(planned, runs_dir)
    left = [trial for trial in planned.trials if trial.id not in done]
    here = Machines((this_machine(with_gpus=any(trial.resources.gpus for trial in left)),))
    outlook = Outlook(left, 0.0, here, Estimate(planned.by_id, speed))
    if as_json:
        content = _as_json(planned, seconds, done, speed)
        content["clock_seconds_left"] = outlook.seconds_left(0.0) if outlook.machines else None
        content["left_out"] = [one.model_dump() for one in loaded.left_out]
        content["corpora"] = [one.as_json() for one in surveyed]
        content["shared_rows"] = shared
        print(json.dumps(content, indent=2))
        return
    out = console()
    out.print(f"Plan of {planned.spec}\n", style="bold")
    out.print(_overview(planned, seconds, done), "")
    out.print(_listing(planned, seconds, done) if trials else _groups(planned, seconds, done))
    for one in surveyed:
        out.print()
        if one.languages is None:
            out.print(not_counted(one.corpus), style="dim")
            continue
        out.print(survey_table(one))
        for line in survey_remarks(one):
            out.print(line, style="dim")
    out.print()
    for missing in loaded.left_out:
        out.print(missing.sentence, style="yellow")
    for line in shared:
        out.print(line, style="yellow")
    if left and outlook.machines:
        out.print(f"To do: {expected(outlook, 0.0)}.")
    for line in _remarks(planned, speed, loaded.sources):
        out.print(line, style="dim")


def _done(planned: Plan, runs_dir: Path) -> set[str]:
    """Trials that are finished."""
    from harness.records.folder import TrialFolder

    present = {path.name for path in runs_dir.iterdir()} if runs_dir.is_dir() else set()
    here = (trial for trial in planned.trials if trial.id in present)
    return {trial.id for trial in here if TrialFolder.of(runs_dir, trial.id).answer(trial)}


def _overview(planned: Plan, seconds: Mapping[str, float], done: set[str]) -> Table:
    from rich.table import Table

    from harness.ranking.render.text import rough_duration
    from harness.records.trial import KINDS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "trials", "done", "to do", "core time", "GPU time"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind in (*KINDS, "all"):
        trials = (
            planned.trials if kind == "all" else [trial for trial in planned.trials if trial.kind == kind]
        )
        left = [trial for trial in trials if trial.id not in done]
        counts = (len(trials), len(trials) - len(left), len(left))
        cores, gpus = _work(left, seconds)
        style = "bold" if kind == "all" else None
        table.add_row(
            kind, *map(str, counts), rough_duration(cores), rough_duration(gpus) if gpus else "", style=style
        )
    return table


def _work(trials: Sequence[Trial], seconds: Mapping[str, float]) -> tuple[float, float]:
    """(core-seconds of the trials on CPUs, GPU-seconds of those on GPUs)."""
    used = {trial.id: seconds[trial.id] * trial.resources.workers for trial in trials}
    cores = sum(used[trial.id] * trial.resources.cpus for trial in trials if not trial.resources.gpus)
    return cores, sum(used[trial.id] * trial.resources.gpus for trial in trials)


def _groups(planned: Plan, seconds: Mapping[str, float], done: set[str]) -> Table:
    from rich.table import Table

    from harness.ranking.render.text import rough_duration

    groups: dict[tuple[str, ...], list[Trial]] = {}
    for trial in planned.trials:
        keys = ("method", "student", "teacher", "language", "milestone", "task")
        groups.setdefault((trial.kind, *(trial.labels.get(key, "") for key in keys)), []).append(trial)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "method", "student", "teacher", "language", "task"):
        table.add_column(name)
    for name in ("trials", "to do", "time of one"):
        table.add_column(name, justify="right")
    for (kind, method, student, teacher, language, milestone, task), members in list(groups.items())[
        :MOST_ROWS
    ]:
        left = sum(trial.id not in done for trial in members)
        shown = f"{method} @{milestone}" if milestone else method
        mean = rough_duration(sum(seconds[trial.id] for trial in members) / len(members))
        table.add_row(kind, shown, student, teacher, language, task, str(len(members)), str(left), mean)
    if len(groups) > MOST_ROWS:
        table.add_row("...", f"{counted(len(groups) - MOST_ROWS, 'more row')}; --trials or --json show all")
    return table


def _listing(planned: Plan, seconds: Mapping[str, float], done: set[str]) -> Table:
    from rich.table import Table

    from harness.ranking.render.text import rough_duration

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", "what", "after", "state"):
        table.add_column(name, no_wrap=True)
    table.add_column("time", justify="right")
    for trial in planned.trials:
        state = "done" if trial.id in done else "to do"
        table.add_row(
            trial.id, trial.title, " ".join(trial.parents), state, rough_duration(seconds[trial.id])
        )
    return table


def _remarks(planned: Plan, speed: Speed, sources: Sources) -> Iterator[str]:
    from harness.assets.availability import folder_problems
    from harness.plan import cohorts
    from harness.plan.cost import assumed_rows

    sizes = Counter(len(group) for group in cohorts(planned.trials))
    shared = ", ".join(f"{count} × {size}" for size, count in sorted(sizes.items(), reverse=True) if size > 1)
    if shared:
        yield f"Students that share a teacher pass (largest groups possible): {shared}."
    yield f"Times are rough ({speed.basis})."
    assumed = assumed_rows(planned, speed)
    for source, published in (("as published", True), ("a guess", False)):
        if rows := ", ".join(f"{one.task} {one.rows:,}" for one in assumed if one.published == published):
            yield f"Rows of tasks whose data is not on this machine, {source}: {rows}."
    for one in planned.unresolved:
        reasons = "".join(f" ({problem})" for problem in folder_problems(one.asset, sources))
        yield f"Unresolved: {one.name}{reasons}; its trials' ids are provisional until its content can be identified."


def _as_json(planned: Plan, seconds: Mapping[str, float], done: set[str], speed: Speed) -> dict[str, Any]:
    from harness.plan import cohorts
    from harness.plan.cost import assumed_rows

    cores, gpus = _work([trial for trial in planned.trials if trial.id not in done], seconds)
    return {
        "spec": planned.spec,
        "counts": dict(Counter(trial.kind for trial in planned.trials)),
        "done": len(done),
        "core_seconds_left": cores,
        "gpu_seconds_left": gpus,
        "estimate": speed.basis,
        "assumed_rows": [dataclasses.asdict(one) for one in assumed_rows(planned, speed)],
        "unresolved": [one.name for one in planned.unresolved],
        "cohorts": [[trial.id for trial in group] for group in cohorts(planned.trials) if len(group) > 1],
        "trials": [
            {
                "id": trial.id,
                "kind": trial.kind,
                "title": trial.title,
                "labels": trial.labels,
                "parents": list(trial.parents),
                "config_id": trial.config_id,
                "done": trial.id in done,
                "seconds": round(seconds[trial.id], 1),
            }
            for trial in planned.trials
        ],
    }


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Specs, catalog files, or folders of them; or names of specs that ship.",
            show_default=False,
        ),
    ],
    settings: Settings = [],  # noqa: B006
    catalog: Catalogs = [],  # noqa: B006
    data_dir: DataDir = None,
    debug: Debug = False,
) -> None:
    """Check specs, methods, students, teachers, corpora and tasks. Every mistake is one line: file:line:col: message."""
    from harness.spec.catalog import spec_file

    files = [file for path in paths for file in _yaml_files(spec_file(path))]
    wrong = 0
    for file in files:
        try:
            summary = _validate(file, settings, catalog, data_dir)
        except HarnessError as error:
            wrong += 1
            if debug:
                raise
            for line in error.lines if isinstance(error, SpecError) else [str(error)]:
                print(line, file=sys.stderr)
            continue
        print(f"ok  {file}  ({summary})")
    if wrong:
        raise typer.Exit(EXIT_INPUT_WRONG)


def _yaml_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*.yaml") if file.is_file())
    if not files:
        raise InputError(f"{path}: no *.yaml below this folder")
    return files


def _validate(file: Path, settings: list[str], catalog: list[Path], data_dir: Path | None) -> str:
    """One-line summary of what the file declares; HarnessError if it is wrong."""
    from harness.cli.planned.from_spec import counted_trials, on_disk, sources_of
    from harness.cli.planned.whole_inputs import check_files, entry_problem
    from harness.spec.catalog import NOUNS, Catalog, anchored, kind_of
    from harness.spec.checks import check_cells
    from harness.spec.entries import entry_kinds
    from harness.spec.grid import expand
    from harness.spec.resolve import check_entry, resolve_document
    from harness.spec.yaml.source import Complaint, read, refuse

    document = read(file)
    kind = kind_of(file, document)
    if kind != "specs":
        entry = check_entry(
            anchored(document), entry_kinds()[kind], kind, Catalog(catalog, beside=document.base.parent)
        )
        if problem := entry_problem(entry, sources_of(data_dir)):
            raise refuse([Complaint(document.value_mark(("name",)), problem)])
        return f"{NOUNS[kind]} {entry.name}"
    resolved = resolve_document(document, catalog, settings)
    cells = expand(resolved)
    sources = sources_of(data_dir)
    check_cells(resolved, cells, on_disk(sources))
    check_files(resolved, sources, rows=False)
    trials, left_out = counted_trials(file, catalog, settings, sources)
    without = "".join(f", without {one.task}, whose data is not available" for one in left_out)
    return f"spec {resolved.name}, {counted(len(cells), 'student')}, {counted(trials, 'trial')}{without}"
