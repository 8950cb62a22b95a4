"""YAML text to plain data that remembers line and column of every node; nothing in it is ever executed.

    document = read(Path("specs/quickstart.yaml"))
    document.data["distil"]["steps"]                 # 1000
    str(document.value_mark(("distil", "steps")))    # specs/quickstart.yaml:12:10

YAML 1.2 core schema (`1e-4` is a number, `on` is text), digits of whole numbers may be grouped by `_`. Tags, duplicate
keys, several documents, numbers that are not finite and anything beyond the bounds below are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import SpecError

MAX_BYTES = 128 * 1024
"""Of one file."""
MAX_NODES = 5_000
"""Of one file, aliases expanded."""
MAX_DEPTH = 24
"""Levels of nested lists and mappings."""
MAX_ALIASES = 100
"""Of one file."""
MAX_NUMBER = 40
"""Characters of one number."""

NodePath = tuple[str | int, ...]
"""Keys and list positions from the top of a document to a node."""

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_WHOLE = re.compile(r"[-+]?[0-9][0-9_]*")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True, order=True)
class Mark:
    """A place in a file, or an option of the command line."""

    source: str
    line: int = 0
    """1-based; 0 where the source has no lines."""
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, order=True)
class Complaint:
    """One mistake and its place; sorts by place."""

    mark: Mark
    message: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}"


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where each node stands."""

    source: str
    """Name for messages: the path as the user wrote it."""
    base: Path
    """Folder from which relative paths inside the document count."""
    data: Any
    keys: dict[NodePath, Mark] = field(default_factory=dict)
    """Place of each mapping key, by the path of its value."""
    values: dict[NodePath, Mark] = field(default_factory=dict)
    """Place of each value."""

    def key_mark(self, path: NodePath) -> Mark:
        """Where the key of the node at `path` stands, else the nearest node above it."""
        return self.keys.get(path) or self.value_mark(path)

    def value_mark(self, path: NodePath) -> Mark:
        """Where the node at `path` stands, else the nearest node above it."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path) or Mark(self.source, 1, 1)


def refuse(complaints: list[Complaint]) -> SpecError:
    """The error that lists `complaints` once each, in order of place."""
    return SpecError([str(complaint) for complaint in sorted(set(complaints))])


def read(path: Path, source: str | None = None) -> Document:
    """The document in `path`, called `source` in messages (default: the path); SpecError with the place of a mistake."""
    source = source or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "is a folder" if path.is_dir() else (error.strerror or str(error)).lower()
        raise SpecError([f"{source}: cannot be read: {reason}"]) from error
    if len(raw) > MAX_BYTES:
        raise SpecError([f"{source}: has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are accepted"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"{source}: is not UTF-8 text (byte {error.start})"]) from error
    return parse(text, source, path.resolve().parent)


def parse(text: str, source: str, base: Path) -> Document:
    """The one document in `text`; SpecError with the place of what is wrong."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    builder = _TreeBuilder(source)
    try:
        data = builder.document(_events(text))
    except _RefusedError as error:
        raise refuse([error.complaint]) from error
    except MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(source, at.line + 1, at.column + 1) if at else Mark(source, 1, 1)
        problem = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise refuse([Complaint(mark, f"not YAML: {problem}")]) from error
    except (YAMLError, ValueError, IndexError, AttributeError, AssertionError, TypeError, KeyError) as error:
        # Raised by the parser on bytes that no author would write: reported as "not YAML" without more detail.
        raise refuse(
            [Complaint(Mark(source, 1, 1), f"not YAML: {' '.join(str(error).split())[:200]}")]
        ) from error
    return Document(source, base, data, builder.keys, builder.values)


def _events(text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML

    yield from YAML(typ="safe", pure=True).parse(text)


class _RefusedError(Exception):
    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.complaint = Complaint(mark, message)


@dataclass
class _Anchor:
    data: Any
    path: NodePath
    nodes: int


class _TreeBuilder:
    """Folds the parser's events into data and places, counting nodes as if aliases were written out."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.keys: dict[NodePath, Mark] = {}
        self.values: dict[NodePath, Mark] = {}
        self.anchors: dict[str, _Anchor] = {}
        self.nodes = 0
        self.aliases = 0

    def document(self, events: Iterator[Any]) -> Any:
        data: Any = None
        documents = 0
        for event in events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise _RefusedError(self._mark(event), "a second document; one file holds one")
            elif name not in ("StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"):
                data = self._node(event, events, (), 0)
        if data is None:
            raise _RefusedError(Mark(self.source, 1, 1), "the file is empty")
        return data

    def _mark(self, event: Any) -> Mark:
        return Mark(self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise _RefusedError(
                self._mark(event),
                f"{self.nodes:,} values so far, aliases written out; at most {MAX_NODES:,} are accepted",
            )

    def _node(self, event: Any, events: Iterator[Any], path: NodePath, depth: int) -> Any:
        kind = type(event).__name__
        mark = self._mark(event)
        self.values[path] = mark
        if kind == "AliasEvent":
            return self._alias(event, path)
        if event.tag is not None:
            raise _RefusedError(
                mark, f"the tag {str(event.tag)[:40]!r}; tags are not allowed, write the plain value"
            )
        if depth > MAX_DEPTH:
            raise _RefusedError(mark, f"more than {MAX_DEPTH} nested lists and mappings")
        before = self.nodes
        self._count(event, 1)
        if kind == "ScalarEvent":
            data = self._scalar(event, mark)
        elif kind == "SequenceStartEvent":
            data = self._sequence(events, path, depth)
        else:
            data = self._mapping(events, path, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchor(data, path, self.nodes - before)
        return data

    def _alias(self, event: Any, path: NodePath) -> Any:
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            raise _RefusedError(self._mark(event), f"the alias *{event.anchor} names no anchor above it")
        self._count(event, anchor.nodes)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise _RefusedError(self._mark(event), f"more than {MAX_ALIASES} aliases")
        for places in (self.keys, self.values):  # an aliased node keeps the place where it is written
            inner = [item for item in places.items() if item[0][: len(anchor.path)] == anchor.path]
            places.update({path + old[len(anchor.path) :]: at for old, at in inner if old != anchor.path})
        return anchor.data

    def _sequence(self, events: Iterator[Any], path: NodePath, depth: int) -> list[Any]:
        items: list[Any] = []
        while type(event := next(events)).__name__ != "SequenceEndEvent":
            items.append(self._node(event, events, (*path, len(items)), depth + 1))
        return items

    def _mapping(self, events: Iterator[Any], path: NodePath, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while type(event := next(events)).__name__ != "MappingEndEvent":
            mark = self._mark(event)
            if type(event).__name__ != "ScalarEvent" or event.tag is not None:
                raise _RefusedError(mark, "a key must be plain text")
            key = event.value
            if key in items:
                raise _RefusedError(
                    mark, f"the key {key!r} stands here a second time (first: {self.keys[(*path, key)]})"
                )
            if key == "trust_remote_code":
                raise _RefusedError(mark, "`trust_remote_code` is never allowed: nothing in YAML runs code")
            self.keys[(*path, key)] = mark
            items[key] = self._node(next(events), events, (*path, key), depth + 1)
        return items

    def _scalar(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        if event.style is not None:  # quoted, literal or folded
            return text
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text):
            return True
        if _FALSE.fullmatch(text):
            return False
        if _NOT_FINITE.fullmatch(text):
            raise _RefusedError(mark, f"{text} is not a finite number")
        if not (_WHOLE.fullmatch(text) or _RADIX.fullmatch(text) or _REAL.fullmatch(text)):
            return text
        if len(text) > MAX_NUMBER:
            raise _RefusedError(
                mark, f"a number of {len(text)} characters; at most {MAX_NUMBER} are accepted"
            )
        if _WHOLE.fullmatch(text):
            return int(text.replace("_", ""))
        if _RADIX.fullmatch(text):
            return int(text, 0)
        if not math.isfinite(number := float(text)):
            raise _RefusedError(mark, f"{text} is not a finite number")
        return number
