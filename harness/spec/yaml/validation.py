"""Plain data against a schema model: the model's instance, or every mistake with its place and what would be right."""

from __future__ import annotations

import difflib
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.registry import did_you_mean
from harness.spec.yaml.source import Complaint, Document, NodePath, refuse

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "none_required": "null",
}
"""pydantic error type -> what belongs there, for values of the wrong kind."""


def validate(document: Document, model: type[M]) -> M:
    """`document` as an instance of `model`; SpecError with one line per mistake."""
    instance, complaints = check(document, model)
    if instance is None:
        raise refuse(complaints)
    return instance


def check(document: Document, model: type[M], at: NodePath = ()) -> tuple[M | None, list[Complaint]]:
    """The node at `at` as an instance of `model`, or None and what is wrong with it."""
    data = _node(document.data, at)
    try:
        instance = model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        mistakes = [_Mistake.of(item, data) for item in error.errors(include_url=False, include_input=True)]
        known = _KnownKeys(model)
        return None, list(_complaints(_likely(mistakes, data), document, data, at, known))
    dumped = instance.model_dump(by_alias=True, warnings=False)
    converted = [
        Complaint(document.value_mark(at + path), f"{'.'.join(map(str, path))}: {message}")
        for path, message in _converted(data, dumped)
    ]
    return (None, converted) if converted else (instance, [])


def _converted(data: Any, dumped: Any, path: NodePath = ()) -> Iterator[tuple[NodePath, str]]:
    """Values that pydantic read as another type than was written: `true` as 1, "5" as 5."""
    if isinstance(data, dict) and isinstance(dumped, dict):
        for key in data.keys() & dumped.keys():
            yield from _converted(data[key], dumped[key], (*path, key))
    elif isinstance(data, list) and isinstance(dumped, (list, tuple)):
        for index, (item, other) in enumerate(zip(data, dumped, strict=False)):
            yield from _converted(item, other, (*path, index))
    elif isinstance(data, bool) and isinstance(dumped, (int, float)) and not isinstance(dumped, bool):
        yield path, f"should be a number, got {_shown(data)}"
    elif isinstance(data, str) and isinstance(dumped, (int, float)):
        wanted = "true or false" if isinstance(dumped, bool) else "a number"
        yield path, f"should be {wanted}, got the text {data!r}"
    elif isinstance(dumped, bool) and isinstance(data, (int, float)) and not isinstance(data, bool):
        yield path, f"should be true or false, got {data}"


def _node(data: Any, path: NodePath) -> Any:
    for step in path:
        data = data[step]
    return data


@dataclass(frozen=True)
class _Mistake:
    """One pydantic error, placed in the document."""

    path: NodePath
    """Of the offending node; for a missing or unknown key, of that key."""
    branches: tuple[tuple[NodePath, str], ...]
    """(node, member) of every union on the path, outermost first."""
    error: dict[str, Any]

    @classmethod
    def of(cls, error: Any, data: Any) -> _Mistake:
        loc = tuple(error["loc"])
        absent: NodePath = ()
        if error["type"] == "missing":
            loc, absent = loc[:-1], loc[-1:]
        if error["type"] == "unknown_axis":  # raised for the whole grid; the key says which axis
            loc = (*loc, error["ctx"]["key"])
        path, skipped = _walk(data, loc)
        return cls(path + absent, tuple(skipped), dict(error))


def _walk(data: Any, loc: tuple[str | int, ...]) -> tuple[NodePath, list[tuple[NodePath, str]]]:
    """The longest path from `data` along `loc`, skipping the union members that pydantic inserts."""
    ways: list[tuple[NodePath, list[tuple[NodePath, str]]]] = []

    def go(
        node: Any, rest: tuple[str | int, ...], path: NodePath, skipped: list[tuple[NodePath, str]]
    ) -> None:
        if not rest:
            ways.append((path, skipped))
            return
        step = rest[0]
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int) and 0 <= step < len(node)
        )
        if inside:
            go(node[step], rest[1:], (*path, step), skipped)
        go(node, rest[1:], path, [*skipped, (path, str(step))])

    go(data, loc, (), [])
    # A union member may have the name of a key of the data (`path`): the right path ends where `loc` ends.
    return max(ways, key=lambda way: (len(way[0]), way[0][-1:] == loc[-1:]))


def _likely(mistakes: list[_Mistake], data: Any) -> list[_Mistake]:
    """At every union only the errors of the member that was probably meant: the one with the fewest."""
    points = {point for mistake in mistakes for point, _ in mistake.branches}
    for point in sorted(points, key=len, reverse=True):
        if not isinstance(_node(data, point), (dict, list)):
            continue  # a plain value: every member says what it would take
        groups: dict[str, list[_Mistake]] = defaultdict(list)
        for mistake in mistakes:
            for branch, member in mistake.branches:
                if branch == point:
                    groups[member].append(mistake)
                    break
        if len(groups) > 1:
            keys = _node(data, point)
            member, best = min(groups.items(), key=lambda item: _distance(item[0], item[1], point, len(keys)))
            if _distance(member, best, point, len(keys))[0]:
                continue  # a list or mapping that no member would take
            dropped = {id(mistake) for group in groups.values() if group is not best for mistake in group}
            mistakes = [mistake for mistake in mistakes if id(mistake) not in dropped]
    return mistakes


def _distance(member: str, group: list[_Mistake], point: NodePath, keys: int) -> tuple[bool, float, int]:
    """How far the node is from a union member: of another kind, then by keys it does not know, then by errors.

    A mapping from names to something takes any key; it is meant only where a model knows none of them."""
    wrong_kind = any(mistake.path == point and mistake.error["type"] in _EXPECTED for mistake in group)
    unknown = sum(
        mistake.error["type"] == "extra_forbidden" and mistake.path[:-1] == point for mistake in group
    )
    accepted = 0.5 if member.startswith("dict[") else float(keys - unknown)
    return wrong_kind, -accepted, len(group)


def _complaints(
    mistakes: list[_Mistake], document: Document, data: Any, at: NodePath, known: _KnownKeys
) -> Iterator[Complaint]:
    by_node: dict[NodePath, list[_Mistake]] = defaultdict(list)
    for mistake in mistakes:
        by_node[mistake.path].append(mistake)
    for path, group in by_node.items():
        if all(mistake.error["type"] == "too_short" for mistake in group) and _any_below(by_node, path):
            continue  # pydantic counts only the items that are right
        kinds = {mistake.error["type"] for mistake in group}
        where = ".".join(str(step) for step in path)
        if kinds & {"missing", "extra_forbidden"}:
            mark = document.key_mark(at + path)
            if "missing" in kinds:
                above = ".".join(str(step) for step in path[:-1])
                mark, where = document.key_mark(at + path[:-1]), above
                message = f"the key {path[-1]!r} is missing"
            else:
                where = ".".join(str(step) for step in path[:-1])
                message = f"unknown key {path[-1]!r}; {did_you_mean(str(path[-1]), known.beside(data, path))}"
        else:
            mark = document.value_mark(at + path)
            if "unknown_axis" in kinds:
                mark, where = document.key_mark(at + path), ".".join(str(step) for step in path[:-1])
            message = _message([mistake.error for mistake in group])
        yield Complaint(mark, f"{where}: {message}" if where else message)


def _any_below(nodes: Collection[NodePath], path: NodePath) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in nodes)


def _message(errors: list[dict[str, Any]]) -> str:
    """One sentence for the errors of one node."""
    first = errors[0]
    context = first.get("ctx", {})
    value = first.get("input")
    match first["type"]:
        case "value_error":
            return str(context["error"])
        case "unknown_axis" | "source":
            return str(first["msg"])
        case "union_tag_invalid":
            tags = [tag.strip().strip("'") for tag in context["expected_tags"].split(", ")]
            key = context["discriminator"].strip("'")
            return f"unknown {key} {context['tag']!r}; {did_you_mean(str(context['tag']), tags)}"
        case "union_tag_not_found":
            return f"the key {context['discriminator'].strip(chr(39))!r} is missing"
    expected = list(dict.fromkeys(_expected(error) for error in errors))
    return f"should be {' or '.join(expected)}, got {_shown(value)}{_nearest(errors, value)}"


def _expected(error: dict[str, Any]) -> str:
    kind = error["type"]
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind == "string_pattern_mismatch":
        return f"text of the form {error['ctx']['pattern']}"
    if kind == "too_short":
        return f"a list of at least {error['ctx']['min_length']}"
    message = str(error["msg"])
    for start in ("Input should be ", "Value should be ", "Input should ", "Value should "):
        message = message.removeprefix(start)
    return message


def _nearest(errors: list[dict[str, Any]], value: Any) -> str:
    choices = [
        choice.strip().strip("'")
        for error in errors
        if error["type"] in ("literal_error", "enum")
        for choice in error["ctx"]["expected"].replace(" or ", ", ").split(", ")
    ]
    near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(value: Any) -> str:
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return f"a list of {len(value)}"
        case True | False | None:
            return {True: "true", False: "false", None: "nothing"}[value]
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."


class _KnownKeys:
    """The keys a model accepts at a place of the document, read from its JSON Schema (built on first use)."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._schema: dict[str, Any] | None = None

    def beside(self, data: Any, path: NodePath) -> list[str]:
        """Keys known where the unknown key at `path` stands: of the model whose keys the data there holds most."""
        if self._schema is None:
            self._schema = self._model.model_json_schema()
        schemas = list(self._flat(self._schema, data))
        for step in path[:-1]:
            data = data[step]
            schemas = [
                found
                for schema in schemas
                for inner in _below(schema, step)
                for found in self._flat(inner, data)
            ]
        known = [set(schema.get("properties", ())) for schema in schemas]
        known = [keys for keys in known if keys and path[-1] not in keys]
        most = max((len(keys & data.keys()) for keys in known), default=0)
        return sorted(set().union(*(keys for keys in known if len(keys & data.keys()) == most)))

    def _flat(self, schema: Any, data: Any) -> Iterator[dict[str, Any]]:
        """`schema` without references and unions; a discriminated union by what the data says it is."""
        if not isinstance(schema, dict) or self._schema is None:
            return
        if "$ref" in schema:
            yield from self._flat(self._schema["$defs"][schema["$ref"].rpartition("/")[2]], data)
        members = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
        if selector := schema.get("discriminator"):
            choice = data.get(selector["propertyName"]) if isinstance(data, dict) else None
            if isinstance(choice, str) and choice in selector.get("mapping", {}):
                members = [{"$ref": selector["mapping"][choice]}]
        for member in members:
            yield from self._flat(member, data)
        if not members and "$ref" not in schema:
            yield schema


def _below(schema: dict[str, Any], step: str | int) -> Iterator[Any]:
    if isinstance(step, int):
        yield schema.get("items")
    else:
        yield schema.get("properties", {}).get(step, schema.get("additionalProperties"))
