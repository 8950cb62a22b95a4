"""`--set dotted.path=value`: single values of a spec replaced on the command line, before it is validated."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from harness.errors import InputError, SpecError
from harness.spec.yaml.source import Document, Mark, NodePath, parse


def override(document: Document, settings: Sequence[str]) -> Document:
    """`document` with every `dotted.path=value` applied in order; values are YAML (`[1, 2]`, `3e-4`, `null`).

    A key that is not there yet is added, so that mistyped keys are reported like those of the file itself.
    Keys that hold dots (`grid.distil.learning_rate`) and list positions (`tasks.0`) are understood. The name of an entry
    that the file writes out at the same place (`grid.method=[NAME]`) stands for that entry."""
    written = document
    for setting in settings:
        document = _override(document, setting, written)
    return document


def _override(document: Document, setting: str, written: Document) -> Document:
    dotted, equals, text = setting.partition("=")
    if not equals or not dotted.strip():
        raise InputError(
            f"--set {setting}: should read dotted.path=value, for example --set distil.steps=1000"
        )
    name = f"--set {dotted.strip()}"
    value = _value(text, name, document)
    data = copy.deepcopy(document.data)
    path = _place(data, dotted.strip().split("."), value.data, name)
    keys = {at: mark for at, mark in document.keys.items() if at[: len(path)] != path}
    values = {at: mark for at, mark in document.values.items() if at[: len(path)] != path}
    keys[path] = values[path] = Mark(name)
    for inner in (*value.keys, *value.values):
        values[path + inner] = Mark(name)
    changed = dataclasses.replace(document, data=data, keys=keys, values=values)
    for at, entry in _named_here(changed, path, written):
        _write_out(changed, at, entry, written)
    return changed


def _named_here(changed: Document, path: NodePath, written: Document) -> Iterator[tuple[NodePath, NodePath]]:
    """Each name in the new value at `path` that an entry written out there has: (place of the name, place of the entry)."""
    axis = path[:-1] if isinstance(path[-1], int) else path
    entries = {
        one["name"]: place
        for place, one in _items(_at(written.data, axis), axis)
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    }
    for place, one in _items(_at(changed.data, path), path):
        if isinstance(one, str) and one in entries:
            yield place, entries[one]


def _write_out(changed: Document, place: NodePath, entry: NodePath, written: Document) -> None:
    """Put the entry of the file in the place of its name, with the lines that it has in the file."""
    _at(changed.data, place[:-1])[place[-1]] = copy.deepcopy(_at(written.data, entry))
    for into, marks in ((changed.keys, written.keys), (changed.values, written.values)):
        into |= {
            place + at[len(entry) :]: mark for at, mark in marks.items() if at[: len(entry)] == entry != at
        }


def _items(value: Any, path: NodePath) -> list[tuple[NodePath, Any]]:
    """The items of a list, or the value itself, each with its place."""
    return [((*path, i), one) for i, one in enumerate(value)] if isinstance(value, list) else [(path, value)]


def _at(data: Any, path: NodePath) -> Any:
    """What stands at `path`, None where nothing does."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        else:
            data = (
                data[step] if isinstance(data, list) and isinstance(step, int) and step < len(data) else None
            )
    return data


def _value(text: str, name: str, document: Document) -> Document:
    if not text.strip():
        return Document(name, document.base, None)
    try:
        return parse(text, name, document.base)
    except SpecError as error:
        if text.strip() in ("null", "~", "Null", "NULL"):
            return Document(name, document.base, None)
        reason = error.lines[0].partition(": ")[2]
        raise SpecError([f"{name}: {text!r}: {reason}"]) from error


def _place(data: Any, steps: list[str], value: Any, name: str) -> NodePath:
    """Put `value` where `steps` lead, in place; returns the path taken."""
    path: NodePath = ()
    node = data
    while True:
        step: str | int = steps[0]
        if isinstance(node, list):
            if not steps[0].isdigit() or int(steps[0]) >= len(node):
                raise InputError(
                    f"{name}: {steps[0]!r} is no position of a list of {len(node)} (0 to {len(node) - 1})"
                )
            step = int(steps[0])
        elif not isinstance(node, dict):
            raise InputError(
                f"{name}: {'.'.join(map(str, path))} is {node!r}, which has no {steps[0]!r} inside"
            )
        elif path == ("grid",) and len(steps) > 1 and steps[0] not in node:
            step, steps = ".".join(steps), steps[:1]  # an axis such as `distil.learning_rate` is one key
        path = (*path, step)
        if len(steps) == 1:
            node[step] = value
            return path
        if isinstance(node, dict) and node.get(str(step)) is None:
            node[step] = {}
        node, steps = node[step], steps[1:]
