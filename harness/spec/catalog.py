"""Names to catalog entries: one YAML file declares one method, student, teacher, corpus or task.

A name is looked up as `FOLDER/<kind>/<name>.yaml` in the folders of `--catalog`, in the folder of the spec
itself, in `./specs`, and last in the copy that ships with the harness. `./my/method.yaml` is a path from the
file that names it, and an entry may also stand inline, as the same mapping.
"""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import harness
from harness.errors import InputError, SpecError
from harness.files import expanded
from harness.registry import did_you_mean
from harness.spec.entries import CatalogEntry, entry_kinds
from harness.spec.yaml.source import Complaint, Document, read, refuse
from harness.spec.yaml.validation import validate

E = TypeVar("E", bound=CatalogEntry)

NOUNS = {
    "methods": "method",
    "students": "student",
    "teachers": "teacher",
    "corpora": "corpus",
    "tasks": "task",
}
"""Folder of the catalog -> what one of its files declares."""
SPEC_FOLDERS = ("checks", "paper", "study")
"""Folders below the shipped specs that hold specs of their own."""


def shipped_specs() -> Path:
    """The specs that ship with the harness: inside the wheel, or beside the package in a checkout."""
    package = Path(harness.__file__).resolve().parent
    return package / "_specs" if (package / "_specs").is_dir() else package.parent / "specs"


def shipped_spec_files() -> dict[str, Path]:
    """Name -> file of every spec that ships, quickstart first, then in alphabetical order."""
    root = shipped_specs()
    files = [path for folder in (".", *SPEC_FOLDERS) for path in (root / folder).glob("*.yaml")]
    named = {str(read(path).data["name"]): path for path in files}
    return dict(sorted(named.items(), key=lambda one: (one[0] != "quickstart", one[0])))


def spec_file(named: Path) -> Path:
    """The file that a user names: a path, or the name of a spec that ships.

    InputError for a bare word that is neither."""
    if named.exists() or named.name != str(named) or named.suffix:
        return named
    shipped = shipped_spec_files()
    if str(named) not in shipped:
        near = did_you_mean(str(named), list(shipped))
        raise InputError(
            f"no file {str(named)!r}, and no spec that ships is called so; {near} (`harness specs`)"
        )
    return shipped[str(named)]


class Catalog:
    """Entries by kind and name, each file read once."""

    def __init__(self, folders: Sequence[Path] = (), beside: Path | None = None) -> None:
        """`folders` come first, then `beside` (a spec's own folder), `./specs` and the shipped copy."""
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"--catalog {folder}: no such folder")
        candidates = [*folders, *([beside] if beside else []), Path("specs"), shipped_specs()]
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in candidates))
        self._read: dict[Path, tuple[Document, CatalogEntry]] = {}

    def names(self, kind: str) -> list[str]:
        """All names of a kind (`methods`, ...), in alphabetical order."""
        return sorted({path.stem for folder in self.folders for path in (folder / kind).glob("*.yaml")})

    def entries(self, kind: str, model: type[E]) -> Iterator[E]:
        """Every entry of a kind, in alphabetical order of names; SpecError at the first that is wrong."""
        for name in self.names(kind):
            yield self.get(kind, name, model)[1]

    def get(self, kind: str, name: str, model: type[E], base: Path | None = None) -> tuple[Document, E]:
        """The entry called `name`, or in the file `name` (from `base`) where it reads like a path.

        InputError where there is none (the nearest name is offered), SpecError where its file is wrong."""
        if "/" in name or name.endswith((".yaml", ".yml")):
            path = ((base or Path()) / expanded(name)).resolve()
            if not path.is_file():
                raise InputError(f"no {NOUNS[kind]} file {name!r} (looked for {shown_path(path)})")
            return self._load(path, model, must_be=None)
        for folder in self.folders:
            path = folder / kind / f"{name}.yaml"
            if path.is_file() and path.parent == folder / kind:
                return self._load(path, model, must_be=name)
        near = did_you_mean(name, self.names(kind))
        raise InputError(f"unknown {NOUNS[kind]} {name!r}; {near} (--catalog DIR adds {kind} of your own)")

    def _load(self, path: Path, model: type[E], must_be: str | None) -> tuple[Document, E]:
        if path not in self._read:
            document = anchored(read(path, shown_path(path)))
            entry = validate(document, model)
            if must_be is not None and entry.name != must_be:
                at = document.value_mark(("name",))
                raise refuse(
                    [Complaint(at, f"the name {entry.name!r} differs from the file's; call it {must_be!r}")]
                )
            self._read[path] = (document, entry)
        document, entry = cast("tuple[Document, E]", self._read[path])
        if not isinstance(entry, model):
            raise InputError(f"{shown_path(path)} declares a {type(entry).__name__}, not a {model.__name__}")
        return document, entry


def shown_path(path: Path) -> str:
    """`path` as a user would write it: relative to the working folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def anchored(document: Document) -> Document:
    """The document with every local source (`sources: [{path: ...}]`) made absolute, from the document's own folder."""
    data = copy.deepcopy(document.data)
    for node in _mappings(data):
        for source in node["sources"] if isinstance(node.get("sources"), list) else ():
            if (
                isinstance(source, dict)
                and isinstance(source.get("path"), str)
                and "\0" not in source["path"]
            ):
                source["path"] = os.path.realpath(document.base / expanded(source["path"]))
    return dataclasses.replace(document, data=data)


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)


def kind_of(path: Path, document: Document) -> str:
    """What a YAML file declares: `specs` or a kind of the catalog, by its folder, else by its keys.
    SpecError if neither."""
    if path.resolve().parent.name in entry_kinds():
        return path.resolve().parent.name
    keys = set(document.data) if isinstance(document.data, dict) else set()
    telling = {
        "specs": {"grid", "tasks"},
        "methods": {"objective", "family"},
        "students": {"width", "heads"},
        "corpora": {"texts"},
        "tasks": {"suite", "splits"},
        "teachers": {"asset"},
    }
    for kind, any_of in telling.items():
        if keys & any_of:
            return kind
    raise SpecError([f"{document.source}:1:1: neither a spec (`grid:`) nor a {', '.join(NOUNS.values())}"])
