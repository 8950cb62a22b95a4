"""Which entries of installed packages a trial uses: terms, mappings, readers, kinds of task, families of models.

Their code is not the harness's, so a result records the distribution, its version and a hash of its code. An entry states
`recipe_version` (an integer, 1 where it says nothing) and raises it when a change of its code changes what a number
means; from 2 on it enters the ids of the trials that use it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from harness.methods.mappings.mapping import MappingParams
from harness.spec.entries import Corpus, Method, Task, Teacher

GROUPS = {
    "term": "harness.terms",
    "mapping": "harness.mappings",
    "reader": "harness.readers",
    "kind": "harness.kinds",
    "family": "harness.families",
}
"""What an entry is -> the entry-point group that offers it."""


@dataclass(frozen=True)
class Plugin:
    """An entry that an installed package offers."""

    what: str
    """A key of `GROUPS`."""
    point: EntryPoint

    @property
    def title(self) -> str:
        """Name for display, e.g. `term state_norm`."""
        return f"{self.what} {self.point.name}"

    @property
    def recipe_version(self) -> int:
        """What the entry states; 1 where it states nothing. Imports the entry, not what computes it."""
        return int(getattr(self.point.load(), "recipe_version", 1))

    @property
    def origin(self) -> str:
        """Distribution, version and the hash of its code: `distil-harness-example 0.1.0, code 0f3a5c7e9b1d`."""
        dist = self.point.dist
        named = f"{dist.name} {dist.version}" if dist else "unknown distribution"
        return f"{named}, code {_code_sha256(self.point.module.partition('.')[0])[:12]}"


def plugins_of(*parts: BaseModel | None) -> tuple[Plugin, ...]:
    """The plugins that entries of the catalog, or whole jobs, use, each once."""
    wanted = dict.fromkeys(name for part in parts if part is not None for name in _names(part))
    return tuple(Plugin(group, point) for group, name in wanted if (point := _installed(group).get(name)))


def recipe_versions(*parts: BaseModel | None) -> dict[str, str]:
    """`plugin/<kind>/<name>` -> recipe version, of the plugins that state one above 1: part of a trial's `data`."""
    versions = {plugin: plugin.recipe_version for plugin in plugins_of(*parts)}
    return {
        f"plugin/{p.what}/{p.point.name}": str(version) for p, version in versions.items() if version != 1
    }


def _names(part: BaseModel) -> Iterator[tuple[str, str]]:
    match part:
        case Method():
            for term in part.objective:
                yield "term", term.term
                values = (getattr(term, name) for name in type(term).model_fields)
                yield from (("mapping", value.name) for value in values if isinstance(value, MappingParams))
        case Corpus():
            yield from (("reader", text.reader) for text in part.texts)
        case Task():
            yield "kind", part.type
        case Teacher():
            if part.shape is not None:
                yield "family", part.shape.model_type
            if isinstance(part.trim_vocabulary, Corpus):
                yield from _names(part.trim_vocabulary)
        case _:
            for name in type(part).model_fields:
                value = getattr(part, name)
                for one in value if isinstance(value, tuple) else (value,):
                    if isinstance(one, BaseModel):
                        yield from _names(one)


def _installed(group: str) -> dict[str, EntryPoint]:
    return _entry_points(GROUPS[group], tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Name -> entry point of `group`; cached per `path`, the search path for packages."""
    return {point.name: point for point in entry_points(group=group)}


@cache
def _code_sha256(package: str) -> str:
    """SHA-256 over the Python files of a top-level package or module, by name and content."""
    module = find_spec(package)
    roots = [Path(root) for root in module.submodule_search_locations or ()] if module else []
    files = [(root, file) for root in roots for file in root.rglob("*.py")]
    if module and not roots and module.origin:
        files = [(Path(module.origin).parent, Path(module.origin))]
    sha256 = hashlib.sha256()
    for root, file in sorted(files):
        sha256.update(f"{file.relative_to(root)}\n{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return sha256.hexdigest()
