"""Settings of configurations as flat dotted paths, and which of them differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

Settings = Mapping[str, object]

_PROSE = {
    "summary",
    "source",
    "licence",
    "name",
    "domain",
    "schema",
    "sources",
    "note",
    "cohort",
    "milestones",
    "shape",
    "languages",
}
"""Fields for people and for execution; they cannot change a number."""
_ABSENT = "–"


def flattened(job: Mapping[str, Any]) -> dict[str, object]:
    """The settings of a job: nested mappings and lists as dotted paths, prose and the seed left out.

    `recipe.` is dropped, as users know these as the fields of `distil`.
    """
    return {path: value for name, part in job.items() for path, value in _flat_part(name, part)}


def flattened_all(jobs: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """`flattened` of many jobs in JSON. They share most of their parts (a corpus, a teacher), and each part is
    walked once: equal settings are then the same objects, which `differing` is quick to see.
    """
    walked: dict[tuple[str, str], list[tuple[str, object]]] = {}
    settings = {}
    for key, text in jobs.items():
        flat: dict[str, object] = {}
        for name, part in json.loads(text).items():
            same = (name, json.dumps(part))
            if same not in walked:
                walked[same] = list(_flat_part(name, part))
            flat.update(walked[same])
        settings[key] = flat
    return settings


def _flat_part(name: str, part: Any) -> Iterable[tuple[str, object]]:
    names_layers = name != "init" or part.get("from") == "teacher"
    for path, value in _walk({name: part}, ""):
        if path not in ("seed", "kind") and (names_layers or path != "init.layers"):
            yield path.removeprefix("recipe."), value


def _walk(value: Any, path: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "term" or (key in _PROSE and not (key == "name" and path.endswith("mapping"))):
                continue
            yield from _walk(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        for index, item in enumerate(value):
            label = item.get("term", item.get("language", index)) if isinstance(item, Mapping) else index
            yield from _walk(item, f"{path}.{label}")
    else:
        yield path, ", ".join(map(_short, value)) if isinstance(value, (list, tuple)) else value


def differing(configurations: Mapping[str, Settings]) -> dict[str, dict[str, object]]:
    """Path -> configuration -> value, for every setting that is not the same in all; one that is absent reads `–`."""
    paths = dict.fromkeys(path for settings in configurations.values() for path in settings)
    apart: dict[str, dict[str, object]] = {}
    for path in paths:
        values = [settings.get(path, _ABSENT) for settings in configurations.values()]
        if any(value is not values[0] for value in values) and len(set(map(str, values))) > 1:
            apart[path] = dict(zip(configurations, values, strict=True))
    return apart


def is_shared(path: str) -> bool:
    """Whether a setting means the same for every method and can change a student."""
    return path.startswith("init.") or ("." not in path and path not in ("milestones", "on_nan"))


def variants(
    rows: Mapping[str, tuple[str, ...]],
    settings: Mapping[str, Settings],
    shared: Mapping[str, Settings] | None = None,
) -> dict[str, str]:
    """Row -> what sets it apart, e.g. `learning_rate 0.0003, steps 1000`: what differs between rows of the same
    names, and what of `shared`, the settings that mean the same for every method, differs between any rows.

    `rows`: row -> (method, student, teacher, language).
    """
    apart: dict[str, dict[str, object]] = {row: {} for row in rows}
    known = {row: values for row, values in (shared or {}).items() if row in rows}
    for path, values in differing(known).items():
        for row, value in values.items():
            apart[row][path] = value
    same_name: dict[tuple[str, ...], list[str]] = {}
    for row, names in rows.items():
        same_name.setdefault(names, []).append(row)
    for group in same_name.values():
        if len(group) > 1:
            for path, values in differing({row: settings.get(row, {}) for row in group}).items():
                for row, value in values.items():
                    apart[row][path] = value
    return {
        row: ", ".join(f"{path.rpartition('.')[2]} {_short(value)}" for path, value in values.items())
        for row, values in apart.items()
    }


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
