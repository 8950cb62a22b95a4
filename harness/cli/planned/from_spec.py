"""From a spec's path to its plan, as `plan` and `run` need it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.assets.asset import Asset
from harness.assets.lock import lock_path, open_sources, pins_of, read_lock, write_lock
from harness.assets.sources import Sources
from harness.errors import AssetError, InputError
from harness.plan import Plan, build_plan, inputs_of
from harness.records.trial import FinetuneJob
from harness.results.left_out import LeftOut
from harness.spec.checks import check_cells
from harness.spec.grid import expand
from harness.spec.resolve import ResolvedSpec, load_spec

if TYPE_CHECKING:
    from harness.plan.cost import Speed
    from harness.records.machine import MachineProfile


@dataclass(frozen=True)
class LoadedPlan:
    """A plan and the inputs it was built from."""

    plan: Plan
    resolved: ResolvedSpec
    """The spec, and the position of each part in its file."""
    sources: Sources
    """Where its inputs are read, at the commits of the lock file, and what they hold."""
    left_out: tuple[LeftOut, ...] = ()
    """Optional tasks whose data is not available."""


def sources_of(data_dir: Path | None) -> Sources:
    """Sources of files; InputError if `--data-dir` is not a folder."""
    sources = Sources.from_environment(data_dir)
    if sources.data_dir is not None and not sources.data_dir.is_dir():
        named = "--data-dir" if data_dir is not None else "HARNESS_DATA"
        raise InputError(f"{named} {sources.data_dir}: no such folder")
    return sources


def require_cache(sources: Sources) -> None:
    """InputError if the cache folder cannot be written to, as in a read-only home."""
    folder = sources.cache_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"the cache {folder} cannot be written ({error.strerror}); set the variable HARNESS_CACHE to a writable folder"
        ) from error


def load_plan(
    path: Path,
    catalog: Sequence[Path],
    settings: Sequence[str],
    sources: Sources,
    update_lock: bool = False,
) -> LoadedPlan:
    """Read, check and expand a spec. SpecError, one line per mistake, if it is wrong.

    `update_lock` asks the hub for the newest commits, whatever the lock file says.
    """
    from harness.assets.fetch import newest_commits, planned_contents
    from harness.cli.planned.whole_inputs import check_files
    from harness.devices.provenance import fingerprint

    resolved = load_spec(path, catalog, settings)
    inputs = inputs_of(resolved).values()
    pins = newest_commits(open_sources(inputs)) if update_lock else read_lock(path)
    sources = dataclasses.replace(sources, pins=tuple(sorted(pins.items())))
    left_out = missing_tasks(resolved, sources)
    if left_out and len(left_out) == len(resolved.tasks):
        raise InputError("\n".join(f"{one.sentence} {one.reason}" for one in left_out))
    if left_out:
        resolved = load_spec(path, catalog, settings, without={one.task for one in left_out})
    cells = expand(resolved)
    check_cells(resolved, cells, on_disk(sources))
    require_cache(sources)
    check_files(resolved, sources, rows=True)
    contents = identities(inputs_of(resolved).values(), sources)
    sources = dataclasses.replace(
        sources,
        pins=tuple(sorted({**pins, **pins_of(contents)}.items())),
        planned=planned_contents(contents, sources),
    )
    threads = resolved.spec.measure.threads
    plan = build_plan(resolved, contents.get, fingerprint(threads), cells)
    return LoadedPlan(plan, resolved, sources, left_out)


def counted_trials(
    path: Path, catalog: Sequence[Path], settings: Sequence[str], sources: Sources
) -> tuple[int, tuple[LeftOut, ...]]:
    """How many trials `load_plan` would plan, and the optional tasks that it would leave out.

    The content of inputs that are not on this machine is not asked for: two of them with the same content would be
    counted as two."""
    resolved = load_spec(path, catalog, settings)
    sources = dataclasses.replace(sources, pins=tuple(sorted(read_lock(path).items())))
    left_out = missing_tasks(resolved, sources)
    if left_out and len(left_out) < len(resolved.tasks):
        resolved = load_spec(path, catalog, settings, without={one.task for one in left_out})
    contents = identities(inputs_of(resolved).values(), dataclasses.replace(sources, offline=True))
    plan = build_plan(resolved, lambda asset: contents[asset] or asset.model_dump_json(), fingerprint="")
    return len(plan.trials), left_out


def missing_tasks(resolved: ResolvedSpec, sources: Sources) -> tuple[LeftOut, ...]:
    """The optional tasks whose data is not available."""
    from harness.assets.availability import check_all

    optional = {
        f"{one.task.name}/{name}": asset
        for one in resolved.tasks
        if one.optional
        for name, asset in one.task.assets.items()
    }
    missing = {
        name.split("/")[0]: availability.problem
        for name, availability in check_all(optional, sources).items()
        if not availability.ok
    }
    return tuple(
        LeftOut(spec=resolved.name, suite=one.task.suite, task=one.task.name, reason=missing[one.task.name])
        for one in resolved.tasks
        if one.task.name in missing
    )


def note_lock(path: Path, loaded: LoadedPlan) -> str:
    """Write new pins to the lock file beside the spec; a sentence about it, or an empty string."""
    before, now = read_lock(path), dict(loaded.sources.pins)
    if now == before:
        return ""
    try:
        write_lock(path, now)
    except OSError as error:
        return f"{lock_path(path)} cannot be written ({error.strerror}); hub revisions are not pinned"
    return f"{lock_path(path)} pins {len(now)} hub revision{'s' if len(now) > 1 else ''}"


def speed_here(plan: Plan, runs_dir: Path, sources: Sources, measure: bool = False) -> Speed:
    """The basis of cost estimates: trials recorded in `runs_dir`, this machine's profile, and the tasks' data
    that is on it.

    `measure` takes a moment to measure the processor's speed where no trial was recorded here, or none measured it.
    """
    from harness.plan.cost import speed_of
    from harness.records.latest import latest_trials
    from harness.tasks.sizes import task_sizes

    recorded = latest_trials(runs_dir)
    threads = {trial.resources.cpus for trial in plan.trials}
    profiles = {count: _profile(sources.cache_dir, count) for count in threads}
    if measure:
        profiles = {
            count: profile if recorded.ended and profile.peak("cpu", "auto") else _measured(profile, count)
            for count, profile in profiles.items()
        }
    return speed_of(recorded, profiles, task_sizes(plan.tasks, sources))


def _profile(cache_dir: Path, threads: int) -> MachineProfile:
    from harness.devices.provenance import fingerprint
    from harness.records.machine import MachineProfile

    return MachineProfile.read(cache_dir, fingerprint(threads))


def _measured(profile: MachineProfile, threads: int) -> MachineProfile:
    """With a quick measurement, unless trials measured more: theirs is too low where other work went on beside them."""
    from harness.devices.cores import available_cores
    from harness.devices.quick_peak import quick_peak

    rate = threads * quick_peak(available_cores())
    return profile.with_peak("cpu", "fp32", max(rate, profile.peak("cpu", "fp32") or 0.0))


def identities(assets: Iterable[Asset], sources: Sources) -> dict[Asset, str | None]:
    """Identity of each asset's content; queried concurrently, so that a slow index costs its time-out once."""
    from harness.assets.fetch import identify

    wanted = set(assets)
    contents: dict[Asset, str | None] = {asset: asset.sha256 for asset in wanted if asset.sha256}
    unknown = [asset for asset in wanted if asset not in contents]
    if unknown:
        with ThreadPoolExecutor(max_workers=min(16, len(unknown))) as pool:
            answers = pool.map(lambda asset: identify(asset, sources), unknown)
            contents |= dict(zip(unknown, answers, strict=True))
    return contents


def on_disk(sources: Sources) -> Callable[[Asset], Path | None]:
    """Function that returns the folder of an asset if it is already on this machine; uses no network."""
    offline = dataclasses.replace(sources, offline=True)

    def locate(asset: Asset) -> Path | None:
        from harness.assets.fetch import fetch

        try:
            return fetch(asset, offline).path
        except AssetError:
            return None

    return locate


def require_rows(plan: Plan, sources: Sources) -> None:
    """InputError if a task's rows do not match its file; all are read once before the first trial."""
    from harness.tasks.task_data import check_rows

    for task in plan.tasks:
        jobs = (trial.job for trial in plan.of_kind("finetune"))
        asked = {
            code
            for job in jobs
            if isinstance(job, FinetuneJob) and job.task is task
            for code in job.languages
        }
        check_rows(task, tuple(sorted(asked)), sources)


def require_inputs(plan: Plan, sources: Sources) -> None:
    """AssetError, one line for each unreachable input and one with the ways out."""
    from harness.assets.availability import check_all
    from harness.assets.fetch import ways_out

    sources_of_inputs = check_all(plan.assets, sources)
    missing = {
        name: availability.problem for name, availability in sources_of_inputs.items() if not availability.ok
    }
    if missing:
        lines = [f"{name}: {problem}" for name, problem in missing.items()]
        raise AssetError("\n".join([*lines, ways_out([plan.assets[name] for name in missing], sources)]))
    if plan.unresolved:
        names = ", ".join(one.name for one in plan.unresolved)
        raise AssetError(
            f"the content of {names} cannot be identified, because its source does not answer; try again later"
        )
