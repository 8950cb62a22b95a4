"""Whether the assets of a plan are available, checked within seconds and before anything is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.assets.archives import matching
from harness.assets.asset import Asset, HubSource, LocalSource, NpmSource, PypiSource, WebSource
from harness.assets.fetch import QUICK, describe, folder_attempts, local_attempts, none_serves
from harness.assets.hub import cached_snapshot, list_files
from harness.assets.package_index import PackageIndex
from harness.assets.package_settings import PackageSettings
from harness.assets.problems import UnavailableError
from harness.assets.sources import Sources
from harness.assets.web import web_identity


@dataclass(frozen=True)
class Availability:
    """Whether an asset is available, checked without fetching it."""

    ok: bool
    where: str = ""
    """The source that would serve it."""
    problem: str = ""
    """Each source tried, with the reason why it cannot serve the asset."""


def check(asset: Asset, sources: Sources) -> Availability:
    """Whether the asset is available; takes a few seconds and downloads nothing."""
    problems: list[str] = []
    for name, attempt in local_attempts(asset, sources):
        try:
            located = attempt()
        except UnavailableError as problem:
            problems.append(f"{name}: {problem}")
            continue
        if located is not None and asset.sha256 in (None, located.sha256):
            return Availability(True, name)
        if located is not None:
            problems.append(f"{name}: its files are not the pinned ones")
    for source in asset.sources:
        if isinstance(source, LocalSource):
            continue
        try:
            where = _reach(source, asset, sources)
        except UnavailableError as problem:
            problems.append(f"{describe(source)}: {problem}")
            continue
        return Availability(True, where)
    return Availability(False, problem=none_serves(asset, problems))


def folder_problems(asset: Asset, sources: Sources) -> list[str]:
    """Why the folders that a user names, the data folder and local ones, do not serve the asset; asks no network."""
    problems = []
    for name, attempt in folder_attempts(asset, sources):
        try:
            attempt()
        except UnavailableError as problem:
            problems.append(f"{name} {problem}")
    return problems


def check_all(assets: Mapping[str, Asset], sources: Sources) -> dict[str, Availability]:
    """`check` for many assets concurrently, so that an unreachable index costs its time-out once."""
    if not assets:
        return {}
    with ThreadPoolExecutor(max_workers=min(16, len(assets))) as pool:
        answers = pool.map(lambda asset: check(asset, sources), assets.values())
        return dict(zip(assets, answers, strict=True))


def _reach(source: HubSource | PypiSource | NpmSource | WebSource, asset: Asset, sources: Sources) -> str:
    """Ask whether a source answers and has the files. Raises UnavailableError."""
    source = sources.pinned(source) if isinstance(source, HubSource) else source
    if isinstance(source, HubSource) and cached_snapshot(source, asset.include) is not None:
        return f"{describe(source)} (cache)"
    if (
        isinstance(source, (PypiSource, NpmSource))
        and (sources.cache_dir / "archives" / source.sha256).is_file()
    ):
        return f"{describe(source)} (cache)"
    if sources.offline:
        raise UnavailableError("not asked (offline)")
    if isinstance(source, HubSource):
        listing = list_files(source, QUICK)
        missing = [pattern for pattern in asset.include if not matching(listing.files, (pattern,))]
        if missing:
            raise UnavailableError(f"has no {', '.join(missing)}")
        return f"{describe(source)}@{listing.commit}"
    if isinstance(source, WebSource):
        web_identity(source, asset.include, QUICK)
        return describe(source)
    PackageIndex(PackageSettings.configured(), QUICK).locate(source)
    return describe(source)
