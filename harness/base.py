"""What every schema model shares: frozen, unknown keys refused, and which fields belong to a trial's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=())


class Label:
    """Marks a field that cannot change a number (a name, a description, where bytes come from): left out of the hash."""


class Added:
    """Marks a field that came after ids had been given: left out of the hash while it holds its default, which means
    what was done before there was the field."""


Text = Annotated[str, Label()]
"""Prose for people; never part of an identity."""


@dataclass(frozen=True)
class Problem:
    """A combination of values that cannot work, found without training anything."""

    field: tuple[str | int, ...]
    """Path of the offending field below the model that reports it."""
    message: str
    """What is wrong with the values, and the values that would work."""


def divisors_of_both(a: int, b: int) -> list[int]:
    """Common divisors of a and b, ascending: the head counts that would work."""
    return [n for n in range(1, min(a, b) + 1) if a % n == 0 and b % n == 0]


def identity(value: Any) -> Any:
    """The JSON-able part of `value` that can change a number: models without their `Label` fields, defaults included."""
    if isinstance(value, BaseModel):
        return dict(_identity_fields(value))
    if isinstance(value, dict):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(identity(item) for item in value)
    if isinstance(value, float) and value == int(value) and abs(value) < 2**53:
        return int(value)  # 1 and 1.0 ask the same question
    return value


def _identity_fields(model: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in identity_fields(type(model), lambda name: getattr(model, name)):
        yield name, identity(getattr(model, name))


def identity_fields(model: type[BaseModel], value_of: Callable[[str], Any]) -> Iterator[str]:
    """Names of the fields that enter the identity of a model whose values `value_of` tells."""
    for name, field in model.model_fields.items():
        marks = {type(mark) for mark in field.metadata}
        if Label not in marks and not (Added in marks and value_of(name) == field.default):
            yield name


def digest(value: Any, length: int = 16) -> str:
    """First `length` hex digits of SHA-256 over the canonical JSON of `identity(value)`."""
    canonical = json.dumps(identity(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]
