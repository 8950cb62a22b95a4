"""Where this run looks for files. Passed as an argument everywhere; nothing reads the environment later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.assets.asset import Asset, HubSource
from harness.assets.lock import key_of
from harness.files import expanded


@dataclass(frozen=True)
class PlannedContent:
    """What an asset held when the plan was made."""

    identity: str
    """As it entered the ids of trials."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name -> SHA-256, where they lay in a folder that a user names; `identity` is then their tree hash."""


@dataclass(frozen=True)
class Sources:
    """Search order of an asset: `data_dir` (hub layout), then its own sources, cached below `cache_dir`."""

    cache_dir: Path
    """Folder for everything fetched or derived (files, token blocks); never inside the project."""
    data_dir: Path | None = None
    """Local folder in hub layout (`glue/sst2/train-*.parquet`, `xnli/de/...`, `models/<org>/<name>`)."""
    offline: bool = False
    """Use only what is on disk: ask neither the hub nor a package index."""
    pins: tuple[tuple[str, str], ...] = ()
    """(repository, commit) from a spec's lock file; repositories are named by `harness.assets.lock.key_of`."""
    planned: Mapping[Asset, PlannedContent] = field(default_factory=dict, hash=False)
    """What the assets of a plan held when it was made. A run is given it, so that a trial never reads other content under
    the id of the planned one."""

    def pinned(self, source: HubSource) -> HubSource:
        """The source at its locked commit, if it has one."""
        commit = dict(self.pins).get(key_of(source))
        return source.model_copy(update={"revision": commit}) if commit else source

    @classmethod
    def from_environment(cls, data_dir: Path | None = None, offline: bool | None = None) -> Sources:
        """From HARNESS_CACHE (default: `distil-harness` below XDG_CACHE_HOME or ~/.cache), HARNESS_DATA,
        HARNESS_OFFLINE or HF_HUB_OFFLINE."""
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        given = data_dir or (Path(os.environ["HARNESS_DATA"]) if os.environ.get("HARNESS_DATA") else None)
        if offline is None:
            offline = any(
                os.environ.get(name, "0") not in ("", "0") for name in ("HARNESS_OFFLINE", "HF_HUB_OFFLINE")
            )
        return cls(
            cache_dir=expanded(str(os.environ.get("HARNESS_CACHE") or base / "distil-harness")),
            data_dir=expanded(str(given)).resolve() if given else None,
            offline=offline,
        )
