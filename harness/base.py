"""What every schema model shares: values are frozen, unknown keys are refused, and marks on fields say what enters an id.

Equal ids mean the same question. `identity` turns a model into the JSON that decides its results: labels left out, defaults
written out, equivalent spellings in one form. `digest` hashes it. Nothing here knows what a method, a task or a trial is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

RULE = 2
"""Version of the rule by which values are hashed. A trial records the rule that gave its id, so that `verify` can check
ids of every age. Rule 1 also hashed licences, pinned hashes, milestones and the rungs of successive halving, and
ignored the order of labels."""


class Frozen(BaseModel):
    """An immutable value; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, protected_namespaces=())

    def hashed(self, fields: dict[str, Any]) -> Any:
        """What stands for this model in an id (from rule 2 on), given the identity of its fields.

        A model overrides it where two spellings of its fields ask the same question."""
        return fields


@dataclass(frozen=True)
class Label:
    """Marks a field that cannot change a number (a name, a description, where bytes come from): left out of the hash.

    Put it on the whole annotation: `Annotated[str | None, Label()]`, since a union drops the marks of its members."""

    since: int = 1
    """First rule under which the field is a label. From then on a field that was hashed before is hashed as its
    default, so that ids of models that never set it do not change."""


@dataclass(frozen=True)
class Added:
    """Marks a field added after ids had been issued: left out of the hash while it holds its default, which must
    reproduce the behaviour from before the field existed."""


@dataclass(frozen=True)
class Ordered:
    """Marks a mapping whose order matters: hashed as a list of pairs."""


@dataclass(frozen=True)
class Unordered:
    """Marks a list whose order does not matter: hashed in the order of its items' JSON."""

    repeats: bool = False
    """Whether an item listed twice counts twice."""


Text = Annotated[str, Label()]
"""Prose for people; never part of an id."""
Licence = Annotated[str | None, Label(since=2)]
"""Terms of use of files; null where they are not stated."""


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


def identity(value: Any, rule: int = RULE) -> Any:
    """The part of `value` that can change a result, as JSON-serialisable data: models without labels, defaults included."""
    if isinstance(value, BaseModel):
        fields = dict(_identity_fields(value, rule))
        return value.hashed(fields) if rule > 1 and isinstance(value, Frozen) else fields
    if isinstance(value, dict):
        return {str(key): identity(item, rule) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(item, rule) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(identity(item, rule) for item in value)
    if isinstance(value, float) and value == int(value) and abs(value) < 2**53:
        return int(value)  # 1 and 1.0 ask the same question
    return value


def _identity_fields(model: BaseModel, rule: int) -> Iterator[tuple[str, Any]]:
    for name, field in type(model).model_fields.items():
        if not is_label(field, rule):
            hashed = field_identity(field, getattr(model, name), rule)
            if not is_absent(field, hashed):
                yield name, hashed


def identity_fields(model: type[BaseModel], value_of: Callable[[str], Any]) -> Iterator[str]:
    """Names of the fields that enter the ids of a model with the values that `value_of` gives."""
    for name, field in model.model_fields.items():
        if _mark(field, Label) is None and not is_absent(field, field_identity(field, value_of(name))):
            yield name


def is_label(field: FieldInfo, rule: int = RULE) -> bool:
    """Whether a field has never been part of an id."""
    mark = _mark(field, Label)
    return mark is not None and mark.since == 1


def is_absent(field: FieldInfo, hashed: Any) -> bool:
    """Whether a field with this identity is left out because it was added later and holds its default."""
    return _mark(field, Added) is not None and hashed == identity(field.get_default())


def field_identity(field: FieldInfo, value: Any, rule: int = RULE) -> Any:
    """The identity of a field that is not a label, following its marks."""
    if rule == 1:
        return identity(value, rule)
    label = _mark(field, Label)
    if label is not None and rule >= label.since:
        return identity(field.get_default(call_default_factory=True, validated_data={}), rule)
    if _mark(field, Ordered) is not None and value:
        return [[key, identity(item, rule)] for key, item in value.items()]
    unordered = _mark(field, Unordered)
    if unordered is not None and value is not None:
        return in_order([identity(item, rule) for item in value], unordered.repeats)
    return identity(value, rule)


def in_order(items: Sequence[Any], repeats: bool = True) -> list[Any]:
    """JSON-serialisable items in the order of their canonical JSON; each once unless `repeats`."""
    by_text = sorted((canonical(item), index) for index, item in enumerate(items))
    order = [
        index for at, (text, index) in enumerate(by_text) if repeats or at == 0 or text != by_text[at - 1][0]
    ]
    return [items[index] for index in order]


def canonical(hashed: Any) -> str:
    """JSON text of an identity: equal identities give equal text."""
    return json.dumps(hashed, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any, length: int = 16, rule: int = RULE) -> str:
    """First `length` hex digits of SHA-256 over the canonical JSON of `identity(value)`."""
    return hashlib.sha256(canonical(identity(value, rule)).encode()).hexdigest()[:length]


def _mark(field: FieldInfo, kind: type[Any]) -> Any:
    """The field's mark of this kind; None where it has none."""
    return next((mark for mark in field.metadata if isinstance(mark, kind)), None)
