"""An asset's files on this machine, and whether they are still those that were planned or opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.assets.archives import matching
from harness.assets.sources import Sources
from harness.errors import ChangedInputError
from harness.files import FileHashes, tree_hash

AGAIN = "run the command again, which plans with the files as they are"
"""What to do about it."""


@dataclass(frozen=True)
class AssetFolder:
    """An asset's files on this machine."""

    path: Path
    """The folder that holds them."""
    content: Mapping[str, str]
    """Name relative to `path` -> SHA-256; other files of the folder do not belong to the asset."""
    source: str
    """The source that served them, for display."""

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Names relative to `path`, sorted."""
        return tuple(sorted(self.content))

    @cached_property
    def sha256(self) -> str:
        """Tree hash of the files."""
        return tree_hash(self.content)

    def matching(self, pattern: str) -> tuple[Path, ...]:
        """Paths of the files whose names a glob matches, in order of name."""
        return tuple(self.path / name for name in matching(self.files, (pattern,)))

    @contextmanager
    def unchanged(self, sources: Sources) -> Iterator[None]:
        """While the files are read. ChangedInputError, whatever else went wrong, where one was replaced meanwhile."""
        try:
            yield
        finally:
            self.require_unchanged(sources)

    def require_unchanged(self, sources: Sources) -> None:
        """ChangedInputError where a file is no longer what it was when the folder was opened."""
        there = [name for name in self.files if (self.path / name).is_file()]
        now = FileHashes(sources.cache_dir / "hashes").each(self.path, there)
        if now != self.content:
            raise replaced(self.path, self.content, now, "while it was read")


def replaced(
    folder: Path, before: Mapping[str, str], now: Mapping[str, str], since: str
) -> ChangedInputError:
    """The error that names the files of a folder that are not what they were."""
    changes = [
        *(f"{name} holds other content" for name in before if name in now and now[name] != before[name]),
        *(f"{name} is gone" for name in before if name not in now),
        *(f"{name} is new" for name in now if name not in before),
    ]
    shown = ", ".join(changes[:3]) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
    return ChangedInputError(f"{folder}: {shown}: changed {since}; {AGAIN}")
