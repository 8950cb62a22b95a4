"""Files of a Hugging Face repository: from the hub's local cache, then from the hub, without retry storms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.data.archives import matching
from harness.data.lock import is_commit
from harness.data.problems import UnavailableError
from harness.spec.assets import HubSource


@dataclass(frozen=True)
class Snapshot:
    """A repository's files at one commit, on this machine."""

    folder: Path
    commit: str


def cached_snapshot(source: HubSource, include: tuple[str, ...]) -> Snapshot | None:
    """What the hub's cache already holds, if every pattern of `include` finds a file there."""
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
    snapshot = Snapshot(folder / source.root, folder.name)
    return (
        snapshot if snapshot.folder.is_dir() and is_complete(files_below(snapshot.folder), include) else None
    )


def resolve_commit(source: HubSource, timeout: float) -> str:
    """The commit that the revision names now. Raises UnavailableError, after about `timeout` seconds."""
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
    return info.sha


def download_snapshot(source: HubSource, include: tuple[str, ...], timeout: float) -> Snapshot:
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
    return Snapshot(folder / source.root, folder.name)


def _below_root(source: HubSource, include: tuple[str, ...]) -> list[str]:
    return [f"{source.root}/{pattern}" if source.root else pattern for pattern in include]


def files_below(folder: Path) -> tuple[str, ...]:
    """Relative names of all files below a folder, hidden ones aside."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return tuple(
        sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))
    )


def is_complete(names: tuple[str, ...], include: tuple[str, ...]) -> bool:
    """Whether every pattern finds a file."""
    return all(matching(names, (pattern,)) for pattern in include)


def _cause(error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("OfflineModeIsEnabled",):
        return "the hub is switched off (HF_HUB_OFFLINE)"
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError"):
        return f"the hub has no such repository or revision, or wants a login ({kind})"
    if "Timeout" in kind or "Connect" in kind:
        return "the hub cannot be reached"
    return f"the hub cannot be read ({kind})"
