"""An asset's files where they are: on this machine, else their addresses on the hub or the web, without downloading
them. For text that is streamed (`harness.corpora.streamed`)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from harness.assets.archives import matching
from harness.assets.asset import Asset, HubSource, WebSource
from harness.assets.fetch import PATIENT, describe, fetch, ways_out
from harness.assets.folder import AGAIN, AssetFolder
from harness.assets.hub import is_complete, list_files
from harness.assets.problems import UnavailableError
from harness.assets.sources import Sources
from harness.assets.web import web_identity
from harness.errors import AssetError, ChangedInputError


@dataclass(frozen=True)
class RemoteFolder:
    """An asset's files on another machine."""

    address: str
    """Prefix of their names: `hf://datasets/…@COMMIT/…` or `https://…`."""
    files: tuple[str, ...]
    """Names below `address`, sorted."""
    sha256: str
    """Identity of the content: the hub commit, or a hash of what the web server reports about the files; not
    a hash of bytes."""
    source: str
    """The source that lists them, for display."""

    def matching(self, pattern: str) -> tuple[str, ...]:
        """Addresses of the files whose names a glob matches, in order of name."""
        return tuple(f"{self.address}/{name}" for name in matching(self.files, (pattern,)))


def open_folder(asset: Asset, sources: Sources) -> AssetFolder | RemoteFolder:
    """The asset's folder on this machine if it is there, else the place to stream it from; packages, which are small,
    are fetched. Raises AssetError naming every source that was tried, ChangedInputError where the files are not the
    planned ones."""
    try:
        return fetch(asset, dataclasses.replace(sources, offline=True))
    except ChangedInputError:
        raise
    except AssetError:
        if sources.offline:
            raise
    problems = []
    for source in asset.sources:
        try:
            if isinstance(source, HubSource):
                return _on_hub(sources.pinned(source), asset)
            if isinstance(source, WebSource):
                return _on_web(source, asset, sources)
        except UnavailableError as problem:
            problems.append(f"{describe(source)}: {problem}")
    if not problems:
        return fetch(asset, sources)
    tried = "; ".join(problems)
    raise AssetError(
        f"{describe(asset.sources[0])} is not available. Tried: {tried}. {ways_out([asset], sources)}"
    )


def _on_hub(source: HubSource, asset: Asset) -> RemoteFolder:
    listing = list_files(source, PATIENT)
    names = matching(listing.files, asset.include)
    if not is_complete(names, asset.include):
        raise UnavailableError(f"has no {', '.join(asset.include)} below {source.root or 'its top'}")
    at = f"{source.hub}@{listing.commit}"
    address = "/".join(filter(None, (f"hf://{source.repo_type}s/{at}", source.root)))
    return RemoteFolder(
        address, names, "/".join(filter(None, (at, source.root))), f"{describe(source)}@{listing.commit}"
    )


def _on_web(source: WebSource, asset: Asset, sources: Sources) -> RemoteFolder:
    identity = web_identity(source, asset.include, PATIENT)
    planned = sources.planned.get(asset)
    if planned is not None and planned.identity != identity:
        names = ", ".join(asset.include)
        raise ChangedInputError(f"{source.url}: {names} changed after the plan was made; {AGAIN}")
    return RemoteFolder(source.url, tuple(sorted(asset.include)), identity, describe(source))
