"""The registry type of everything that is chosen by name: terms, mappings, kinds of task, families, metrics, readers.

TERMS: Registry[type[TermParams]] = Registry("term")
TERMS.register("logits", Logits)
TERMS["logit"]             # InputError: unknown term 'logit'; did you mean 'logits'?
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Generic, TypeVar

from harness.errors import InputError

T = TypeVar("T")


def did_you_mean(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` when a near name exists, else the known names."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def import_name(target: str) -> Any:
    """The object that `module:name` names: how what validation reads refers to what only training loads."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


class Registry(Generic[T]):
    """Names to entries, in order of registration."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add `entry`; a name is taken once (ValueError otherwise)."""
        if name in self._entries:
            raise ValueError(f"the {self.noun} {name!r} is registered already")
        self._entries[name] = entry
        return entry

    def load_entry_points(self, group: str) -> None:
        """Register what installed packages offer under `group`; each entry point names the entry itself, as `register` takes
        it."""
        from importlib.metadata import entry_points  # slower to load than all the rest of a base room

        for point in entry_points(group=group):
            self.register(point.name, point.load())

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise InputError(f"unknown {self.noun} {name!r}; {did_you_mean(name, list(self._entries))}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def values(self) -> list[T]:
        """Entries in order of registration."""
        return list(self._entries.values())

    def items(self) -> list[tuple[str, T]]:
        """(name, entry) in order of registration."""
        return list(self._entries.items())
