"""Trial ids for large plans: the hash of `harness.records.trial.trial_id`, with shared parts written out once.

A plan of 100,000 trials holds few distinct methods, students, corpora and tasks. Their canonical JSON is
kept, so that an id costs one join and one SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from json.encoder import encode_basestring_ascii

from harness.assets.asset import Asset
from harness.base import Frozen, identity, identity_fields
from harness.records.trial import RECIPE_VERSIONS, Kind

Identify = Callable[[Asset], str | None]
"""An asset to what its content is (SHA-256 or `repo@commit`), or None where that is not known now."""


class Hasher:
    """Canonical JSON of what trials are made of; equal to `harness.base.digest`, faster on shared
    parts."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[object, str]] = {}

    def trial(self, kind: Kind, job: Frozen, data: dict[str, str], parents: tuple[str, ...]) -> str:
        """`trial_id(kind, job, data, parents)`."""
        version = str(RECIPE_VERSIONS[kind])
        return _hash([f'"{kind}"', version, self._job(job), self._text(data), self._text(parents)])

    @staticmethod
    def version(kind: Kind) -> int:
        """The recipe version that enters the ids of a kind."""
        return RECIPE_VERSIONS[kind]

    def config(self, job: Frozen, data: dict[str, str], parents: tuple[str, ...]) -> str:
        """The configuration a distil job belongs to: its id without the seed."""
        return _hash(['"config"', self._job(job, leave_out="seed"), self._text(data), self._text(parents)])

    def model(self, *parts: object) -> str:
        """The configuration of a model that no method of the harness made."""
        return _hash(['"model"', *map(self._text, parts)])

    def _job(self, job: Frozen, leave_out: str | None = None) -> str:
        names = sorted(identity_fields(type(job), lambda name: getattr(job, name)))
        return "{" + ",".join([f'"{n}":{self._text(getattr(job, n))}' for n in names if n != leave_out]) + "}"

    def _text(self, value: object) -> str:
        """Canonical JSON of `value`; kept for what is shared between trials and never changed."""
        if type(value) is int:
            return str(value)
        if type(value) is str:
            return encode_basestring_ascii(value)
        cached = self._parts.get(id(value))
        if cached is None:
            cached = (value, _plain(value))  # holding the object keeps its id its own
            self._parts[id(value)] = cached
        return cached[1]


def _plain(value: object) -> str:
    return json.dumps(identity(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(parts: list[str]) -> str:
    return hashlib.sha256(f"[{','.join(parts)}]".encode()).hexdigest()[:16]
