"""From a spec's path to its plan, as `plan` and `run` need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.sources import Sources
from harness.errors import AssetError, InputError
from harness.plan import Plan, build_plan, inputs_of
from harness.spec.assets import Asset
from harness.spec.checks import check_cells
from harness.spec.grid import expand
from harness.spec.resolve import load_spec

if TYPE_CHECKING:
    from harness.data.assets import Availability
    from harness.plan.cost import Speed


def sources_of(data_dir: Path | None) -> Sources:
    """Where bytes are looked for; InputError where `--data-dir` is no folder."""
    sources = Sources.from_environment(data_dir)
    if sources.data_dir is not None and not sources.data_dir.is_dir():
        named = "--data-dir" if data_dir is not None else "HARNESS_DATA"
        raise InputError(f"{named} {sources.data_dir}: no such folder")
    return sources


def load_plan(path: Path, catalog: Sequence[Path], settings: Sequence[str], sources: Sources) -> Plan:
    """Read, check and expand a spec. SpecError, one line a mistake, where it is wrong."""
    from harness.provenance import fingerprint

    resolved = load_spec(path, catalog, settings)
    cells = expand(resolved)
    check_cells(resolved, cells, on_disk(sources))
    known = identities(inputs_of(resolved).values(), sources)
    threads = resolved.spec.measure.threads
    return build_plan(resolved, known.get, fingerprint(threads), cells)


def speed_here(plan: Plan, runs_dir: Path, sources: Sources) -> Speed:
    """What the estimate of costs stands on: trials recorded in `runs_dir`, this machine's profile."""
    from harness.machine import MachineProfile
    from harness.plan.cost import speed_of
    from harness.provenance import fingerprint

    threads = {trial.resources.cpus for trial in plan.trials}
    return speed_of(runs_dir, {n: MachineProfile.read(sources.cache_dir, fingerprint(n)) for n in threads})


def identities(assets: Iterable[Asset], sources: Sources) -> dict[Asset, str | None]:
    """What each asset's content is; asked together, so that a slow index costs its time-out once."""
    from harness.data.assets import identify

    wanted = set(assets)
    known: dict[Asset, str | None] = {asset: asset.sha256 for asset in wanted if asset.sha256}
    unknown = [asset for asset in wanted if asset not in known]
    if unknown:
        with ThreadPoolExecutor(max_workers=min(16, len(unknown))) as pool:
            found = pool.map(lambda asset: identify(asset, sources), unknown)
            known |= dict(zip(unknown, found, strict=True))
    return known


def on_disk(sources: Sources) -> Callable[[Asset], Path | None]:
    """Finds the folder of an asset that is on this machine already; asks nobody else."""
    import dataclasses

    offline = dataclasses.replace(sources, offline=True)

    def locate(asset: Asset) -> Path | None:
        from harness.data.assets import fetch

        try:
            return fetch(asset, offline).path
        except AssetError:
            return None

    return locate


def require_inputs(plan: Plan, sources: Sources) -> dict[str, Availability]:
    """AssetError, one line for each input that cannot be reached, with the ways out."""
    from harness.data.assets import check_all

    found = check_all(plan.assets, sources)
    missing = [
        f"{name}: {availability.problem}" for name, availability in found.items() if not availability.ok
    ]
    if missing:
        raise AssetError("\n".join(missing))
    if plan.unresolved:
        names = ", ".join(one.name for one in plan.unresolved)
        raise AssetError(
            f"the content of {names} cannot be identified now; try again when its source answers"
        )
    return found
