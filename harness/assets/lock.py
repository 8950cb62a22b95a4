"""The lock file beside a spec: the commit at which each hub repository is read, where the spec does not pin one.

Branches move; a benchmark should not. A repository without a commit is resolved once, and read at that commit from then
on by everyone who has the lock file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from harness.assets.asset import Asset, HubSource
from harness.base import Frozen
from harness.errors import InputError
from harness.files import write_atomically

COMMIT = re.compile(r"[0-9a-f]{40}")


class Lock(Frozen):
    """Content of the lock file."""

    schema_: Literal[1] = Field(default=1, alias="schema")
    hub: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]] = {}
    """`datasets/nyu-mll/glue@main` -> commit."""


def lock_path(spec: Path) -> Path:
    """`bench.yaml` is locked by `bench.yaml.lock`."""
    return spec.with_name(f"{spec.name}.lock")


def read_lock(spec: Path) -> dict[str, str]:
    """Repository -> commit; empty if there is no lock file. InputError if it cannot be parsed."""
    path = lock_path(spec)
    try:
        return dict(Lock.model_validate_json(path.read_bytes()).hub)
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(
            f"{path}: no lock file of the harness{f' ({place})' if place else ''}; "
            "remove it, and the next run writes a new one"
        ) from error


def write_lock(spec: Path, pins: Mapping[str, str]) -> None:
    """Write the file, sorted, so that diffs stay small."""
    lock = Lock(hub=dict(sorted(pins.items())))
    write_atomically(lock_path(spec), lock.model_dump_json(indent=2, by_alias=True) + "\n")


def key_of(source: HubSource) -> str:
    """Key of a source in the lock file."""
    return f"{source.repo_type}s/{source.hub}@{source.revision or 'main'}"


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit hash, which never moves."""
    return revision is not None and COMMIT.fullmatch(revision) is not None


def open_sources(assets: Iterable[Asset]) -> list[HubSource]:
    """The hub sources that a lock file pins: those without a commit, of assets without a content hash."""
    sources = (source for asset in assets if asset.sha256 is None for source in asset.sources)
    unpinned = {key_of(s): s for s in sources if isinstance(s, HubSource) and not is_commit(s.revision)}
    return list(unpinned.values())


def pins_of(contents: Mapping[Asset, str | None]) -> dict[str, str]:
    """Repository -> commit, for assets whose content is identified by a commit (`harness.assets.fetch.identify`)."""
    pins: dict[str, str] = {}
    for asset, content in contents.items():
        repository, _, rest = (content or "").partition("@")
        if COMMIT.match(rest):
            pins |= {key_of(s): rest[:40] for s in open_sources([asset]) if s.hub == repository}
    return pins
