"""Files of a Hugging Face repository: from the hub's local cache, then from the hub, without long retries."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.assets.archives import matching
from harness.assets.asset import HubSource
from harness.assets.lock import is_commit
from harness.assets.problems import UnavailableError
from harness.files import files_below


@dataclass(frozen=True)
class HubSnapshot:
    """A repository's files at one commit, on this machine."""

    folder: Path
    commit: str


def cached_snapshot(source: HubSource, include: tuple[str, ...]) -> HubSnapshot | None:
    """The snapshot in the hub's local cache, if every pattern of `include` matches a file there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                source.hub,
                repo_type=source.repo_type,
                revision=source.revision,
                allow_patterns=_below_root(source, include),
                local_files_only=True,
            )
        )
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    snapshot = HubSnapshot(folder / source.root, folder.name)
    names = matching(files_below(snapshot.folder), include) if snapshot.folder.is_dir() else ()
    return snapshot if is_complete(names, include) and has_all_shards(names) else None


@dataclass(frozen=True)
class Listing:
    """The files of a repository at one commit, as the hub lists them."""

    commit: str
    files: tuple[str, ...]
    """Names below the source's root, sorted."""


def resolve_commit(source: HubSource, timeout: float) -> str:
    """The commit that the revision names now. Raises UnavailableError, after about `timeout` seconds."""
    return list_files(source, timeout).commit


def list_files(source: HubSource, timeout: float) -> Listing:
    """The files below the source's root, at the commit that the revision names now. Raises UnavailableError."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().repo_info(
            source.hub, repo_type=source.repo_type, revision=source.revision, timeout=timeout
        )
    except (
        Exception
    ) as error:  # httpx, OfflineModeIsEnabled, RepositoryNotFoundError, ...: none shares a base class
        raise UnavailableError(_cause(error)) from error
    if info.sha is None:
        raise UnavailableError("the hub names no commit")
    root = f"{source.root}/" if source.root else ""
    names = (file.rfilename for file in getattr(info, "siblings", None) or ())
    below = sorted(name.removeprefix(root) for name in names if name.startswith(root))
    return Listing(info.sha, tuple(below))


def download_snapshot(source: HubSource, include: tuple[str, ...], timeout: float) -> HubSnapshot:
    """Fetch the files that `include` matches into the hub's own cache. Raises UnavailableError."""
    from huggingface_hub import snapshot_download

    if not is_commit(source.revision):
        resolve_commit(
            source, timeout
        )  # where nobody answers, this ends sooner than huggingface_hub's retries
    try:
        folder = Path(
            snapshot_download(
                source.hub,
                repo_type=source.repo_type,
                revision=source.revision,  # by its name, so that the cache is found by it again
                allow_patterns=_below_root(source, include),
            )
        )
    except Exception as error:
        raise UnavailableError(_cause(error)) from error
    return HubSnapshot(folder / source.root, folder.name)


def _below_root(source: HubSource, include: tuple[str, ...]) -> list[str]:
    return [f"{source.root}/{pattern}" if source.root else pattern for pattern in include]


def is_complete(names: tuple[str, ...], include: tuple[str, ...]) -> bool:
    """Whether every pattern matches a file."""
    return all(matching(names, (pattern,)) for pattern in include)


_SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})\D.*")


def has_all_shards(names: tuple[str, ...]) -> bool:
    """Whether files named `…-00000-of-00041…` are complete: an interrupted download leaves only some of them."""
    groups = Counter(found.groups() for name in names if (found := _SHARD.fullmatch(name)))
    return all(count >= int(total) for (_, total), count in groups.items())


def _cause(error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("OfflineModeIsEnabled",):
        return "the hub is switched off (HF_HUB_OFFLINE)"
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError"):
        return f"the hub has no such repository or revision, or wants a login ({kind})"
    if "Timeout" in kind or "Connect" in kind:
        return "the hub cannot be reached"
    return f"the hub cannot be read ({kind})"
