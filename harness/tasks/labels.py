"""Labels by name: from what a column holds to the class index or number that models are trained on."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.counted import counted
from harness.errors import InputError
from harness.registry import did_you_mean
from harness.spec.entries import Between, Task

Value = str | int | float | None


class LabelMap:
    """Maps raw values of a task's label column.

    `names` are the class names that the data itself states. The values of an `untyped` file are text; those that the
    task file names as numbers are compared as numbers (`1` is the label of `1` and of `1.0`, not of `01`).
    """

    def __init__(self, task: Task, names: Sequence[str] | None = None, untyped: bool = False) -> None:
        self._task = task
        self._names = names
        self._untyped = untyped
        self._exact: dict[str | int, int] = {}
        self._intervals: list[tuple[Between, int]] = []
        for index, value in enumerate(task.labels.values()):
            if isinstance(value, Between):
                self._intervals.append((value, index))
            else:
                self._exact[value] = index
        self._dropped = {_missing(value) for value in task.drop_labels}
        if names is not None:
            self._exact = self._by_feature(names)
            self._dropped |= {names.index(value) for value in task.drop_labels if value in names}

    def _by_feature(self, names: Sequence[str]) -> dict[str | int, int]:
        """The mapping over the feature's integers; class names of the data must not contradict the task's."""
        by_value: dict[str | int, int] = {}
        labels = list(self._task.labels)
        for value, index in self._exact.items():
            if isinstance(value, str):
                if value not in names:
                    hint = did_you_mean(value, list(names))
                    raise InputError(f"task {self._task.name}: no label {value!r} in the data; {hint}")
                by_value[names.index(value)] = index
                continue
            by_value[value] = index
            stated = names[value] if 0 <= value < len(names) else None
            if stated in labels and stated != labels[index]:
                raise InputError(
                    f"task {self._task.name}: the label order is mixed up: "
                    f"the data's class {value} is {stated!r}, the task file says {labels[index]!r}"
                )
        return by_value

    def numbers(self, values: Sequence[Any], where: str) -> list[float | None]:
        """Each value as a number; None for rows to drop. Raises InputError for values that are not finite numbers."""
        plain = self._values(values, where)
        return [None if value in self._dropped else self._number(value, where) for value in plain]

    def classes(self, values: Sequence[Any], where: str) -> list[int | None]:
        """Each value as the index of its class in the order of the task file; None for rows to drop.

        Raises InputError for values of mixed types, and for values that the task file does not name.
        """
        plain = self._values(values, where)
        mapped = [None if value in self._dropped else self._class(value, where) for value in plain]
        unknown = Counter(value for value, label in zip(plain, mapped, strict=True) if label == _UNKNOWN)
        if unknown:
            raise InputError(self._unnamed(unknown, where))
        return mapped

    def _values(self, values: Sequence[Any], where: str) -> list[Value]:
        plain = [self._read(value) for value in values]
        if not self._untyped:
            self._same_type(plain, where)
        return plain

    def _read(self, value: Any) -> Value:
        """A value as the task file would write it; None where it is missing."""
        plain = _plain(value)
        if plain in self._exact:
            return plain
        plain = _missing(plain)
        if not self._untyped or not isinstance(plain, str) or plain in self._dropped:
            return plain
        number = _PLAIN_NUMBER.fullmatch(plain)
        if number is None:
            return plain
        whole = int(number["whole"])
        return whole if whole in self._exact or whole in self._dropped else plain

    def _class(self, value: Value, where: str) -> int | None:
        if value is not None and value in self._exact:
            return self._exact[value]  # type: ignore[index]
        if not self._intervals or value is None:
            return _UNKNOWN
        number = self._number(value, where)
        for interval, index in self._intervals:
            low = -math.inf if interval.at_least is None else interval.at_least
            high = math.inf if interval.at_most is None else interval.at_most
            if low <= number <= high:
                return index
        return None

    def _number(self, value: Value, where: str) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or (isinstance(value, str) and "_" in value):
            column = f"{where}: column {self._task.columns.label!r}"
            if value is None:
                raise InputError(f"{column} has rows without a number; `drop_labels: [null]` leaves them out")
            raise InputError(f"{column} holds {value!r}, which is not a number")
        return number

    def _same_type(self, values: Sequence[Value], where: str) -> None:
        text = next(
            (value for value in values if isinstance(value, str) and value not in self._dropped), None
        )
        number = next(
            (value for value in values if isinstance(value, (int, float)) and value not in self._dropped),
            None,
        )
        if text is not None and number is not None:
            mixed = f"text ({text!r}) and numbers ({number!r})"
            raise InputError(f"{where}: column {self._task.columns.label!r} mixes {mixed}")

    def _unnamed(self, unknown: Mapping[Value, int], where: str) -> str:
        listed = ", ".join(
            f"{_written(value)} ({counted(n, 'row')})" for value, n in list(unknown.items())[:5]
        )
        known = ", ".join(repr(value) for value in self._task.labels.values())
        hint = "; add them to `labels:` or `drop_labels:`"
        if None in unknown:
            hint += " (null is a missing label)"
        if self._names is not None:
            known += f" (classes of the data: {', '.join(self._names)})"
        return f"{where}: label values {listed} are not among {known}{hint}"


_UNKNOWN = -1
_PLAIN_NUMBER = re.compile(r"(?P<whole>-?(0|[1-9][0-9]{0,17}))(\.0*)?")
"""A whole number as programs write it, with or without an empty fraction."""


def _written(value: Value) -> str:
    """As YAML spells it."""
    return "null" if value is None else repr(value)


def _missing(value: Value) -> Value:
    """None for a missing value (null or blank text), else the value itself."""
    return None if isinstance(value, str) and not value.strip() else value


def _plain(value: Any) -> Value:
    """A Python str, int or float; whole floats become ints, since 0 and 0.0 are the same label."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (str, int, float)) else str(value)
