"""Trial ids for large plans: the hash of `harness.records.trial.trial_id`, with shared parts written out once.

A plan of 100,000 trials holds few distinct methods, students, corpora and tasks. Their canonical JSON is cached, so
that an id costs one join and one SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from json.encoder import encode_basestring_ascii

from pydantic.fields import FieldInfo

from harness.assets.asset import Asset
from harness.base import Frozen, canonical, field_identity, identity, is_absent, is_label
from harness.records.trial import RECIPE_VERSIONS, Kind

Identify = Callable[[Asset], str | None]
"""Asset -> its content (SHA-256 or `repo@commit`), or None where that is not known yet."""


class Hasher:
    """Canonical JSON of what trials are made of; equal to `harness.base.digest`, faster on shared parts."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int], tuple[object, str | None]] = {}

    def trial(self, kind: Kind, job: Frozen, data: dict[str, str], makers: tuple[str, ...]) -> str:
        """`trial_id(kind, job, data, makers)`."""
        version = str(RECIPE_VERSIONS[kind])
        return _hash([f'"{kind}"', version, self._job(job), self._text(data), self._text(makers)])

    @staticmethod
    def version(kind: Kind) -> int:
        """The recipe version that enters the ids of a kind."""
        return RECIPE_VERSIONS[kind]

    def config(self, job: Frozen, data: dict[str, str], makers: tuple[str, ...]) -> str:
        """Configuration id of a distil job: its trial id without the seed."""
        return _hash(['"config"', self._job(job, leave_out="seed"), self._text(data), self._text(makers)])

    def model(self, *parts: object) -> str:
        """Configuration id of a model that no distil trial made."""
        return _hash(['"model"', *map(self._text, parts)])

    def _job(self, job: Frozen, leave_out: str | None = None) -> str:
        fields = {name: field for name, field in sorted(type(job).model_fields.items()) if name != leave_out}
        texts = ((name, self._field(field, getattr(job, name))) for name, field in fields.items())
        return "{" + ",".join([f'"{name}":{text}' for name, text in texts if text is not None]) + "}"

    def _field(self, field: FieldInfo, value: object) -> str | None:
        """Canonical JSON of a job's field, None where it is left out."""
        if not field.metadata and type(value) in (int, str):
            return self._text(value)
        return self._cached(value, field)

    def _text(self, value: object) -> str:
        """Canonical JSON of `value`."""
        if type(value) is int:
            return str(value)
        if type(value) is str:
            return encode_basestring_ascii(value)
        return self._cached(value, None) or ""

    def _cached(self, value: object, field: FieldInfo | None) -> str | None:
        """Canonical JSON, cached for the immutable values that trials share."""
        key = (id(value), id(field))
        if key not in self._parts:
            text = canonical(identity(value)) if field is None else _field_text(field, value)
            self._parts[key] = (value, text)  # keeps the object alive, so that its id() is not reused
        return self._parts[key][1]


def _field_text(field: FieldInfo, value: object) -> str | None:
    if is_label(field):
        return None
    hashed = field_identity(field, value)
    return None if is_absent(field, hashed) else canonical(hashed)


def _hash(parts: list[str]) -> str:
    return hashlib.sha256(f"[{','.join(parts)}]".encode()).hexdigest()[:16]
