"""The grid of a resolved spec as cells: every combination of its axes, less what `exclude:` drops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.errors import SpecError
from harness.registry import did_you_mean
from harness.spec.entries import Corpus, Method, Student
from harness.spec.initialisation import Initialisation
from harness.spec.recipes import Distil
from harness.spec.resolve import LanguageSet, ResolvedSpec, TeacherChoice, Use
from harness.spec.yaml.source import Complaint, NodePath, refuse


@dataclass(frozen=True, slots=True)
class InitChoice:
    """Where a student's weights start, and which line says so."""

    init: Initialisation
    path: NodePath
    """The place in the spec to report."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One student to be made: one point of the grid."""

    language: LanguageSet
    corpus: Corpus
    teacher: TeacherChoice
    method: Use[Method]
    student: Use[Student]
    init: InitChoice
    recipe: Distil
    seed: int


def init_label(init: Initialisation) -> str:
    """An initialisation in a word: `random`, `teacher:alternate`, `teacher:1-3-5`, `checkpoint`."""
    if init.source != "teacher":
        return init.source
    layers = init.layers if isinstance(init.layers, str) else "-".join(map(str, init.layers))
    return f"teacher:{layers}"


def expand(resolved: ResolvedSpec) -> list[Cell]:
    """All cells, in the order of the axes. SpecError where the grid is too large (counted before any cell is built), an
    axis value gives no valid recipe, or an `exclude:` of axes as the file gives them matches nothing."""
    axes = resolved.spec.grid.distil_axes
    recipes = _recipes(resolved)
    per_language = [
        [resolved.teachers[one.name], resolved.methods, resolved.students, resolved.spec.grid.init, recipes]
        for one in resolved.languages
    ]
    seeds = resolved.spec.grid.seed
    count = sum(math.prod(len(axis) for axis in points) for points in per_language) * len(seeds)
    limit = resolved.spec.max_trials
    if count > limit:
        raise SpecError(
            [
                f"{resolved.mark(('grid',))}: the grid has {count:,} cells; "
                f"at most {limit:,} are accepted (max_trials)"
            ]
        )
    rules = _Rules(resolved, axes)
    cells = list(_cells(resolved, recipes, rules))
    rules.raise_unmatched()
    return cells


def _recipes(resolved: ResolvedSpec) -> list[tuple[dict[str, Any], Distil]]:
    """Each combination of the dotted axes: (its values, the recipe)."""
    axes = resolved.spec.grid.distil_axes
    count = math.prod(len(values) for values in axes.values())
    if count > resolved.spec.max_trials:
        raise SpecError(
            [f"{resolved.mark(('grid',))}: the axes {', '.join(axes)} have {count:,} combinations"]
        )
    written = resolved.spec.distil.model_dump(exclude_unset=True)
    recipes: list[tuple[dict[str, Any], Distil]] = []
    complaints: list[Complaint] = []
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        try:
            recipe = (
                Distil.model_validate({**written, **point}, strict=False) if point else resolved.spec.distil
            )
        except ValidationError as error:
            first = error.errors()[0]
            axis = next((str(step) for step in first["loc"] if step in axes), next(iter(axes)))
            message = str(first.get("ctx", {}).get("error") or first["msg"].removeprefix("Input "))
            complaints.append(
                Complaint(resolved.mark(("grid", f"distil.{axis}")), f"distil with {point}: {message}")
            )
            continue
        recipes.append((point, recipe))
    if complaints:
        raise refuse(complaints)
    return recipes


def _cells(
    resolved: ResolvedSpec, recipes: list[tuple[dict[str, Any], Distil]], rules: _Rules
) -> Iterator[Cell]:
    grid = resolved.spec.grid
    inits = [InitChoice(init, ("grid", "init", index)) for index, init in enumerate(grid.init)]
    for language in resolved.languages:
        corpus = resolved.corpora[language.name].entry
        axes = itertools.product(
            resolved.teachers[language.name], resolved.students, resolved.methods, inits, recipes
        )
        for teacher, student, method, choice, (point, recipe) in axes:
            init = _precedence(method, student, choice)
            for seed in grid.seed:
                named = {
                    "language": language.name,
                    "teacher": teacher.name,
                    "student": student.entry.name,
                    "method": method.entry.name,
                    "init": init_label(choice.init),
                    "seed": seed,
                }
                if not rules.drops(named, point):
                    yield Cell(language, corpus, teacher, method, student, init, recipe, seed)


def _precedence(method: Use[Method], student: Use[Student], choice: InitChoice) -> InitChoice:
    """A method's published initialisation takes precedence over a student's, and that over the grid's."""
    if method.entry.init is not None:
        return InitChoice(method.entry.init, method.path)
    if student.entry.init is not None:
        return InitChoice(student.entry.init, student.path)
    return choice


class _Rules:
    """The `exclude:` rules, and which of them ever applied."""

    def __init__(self, resolved: ResolvedSpec, axes: dict[str, Any]) -> None:
        self.resolved = resolved
        self.rules = [
            {axis: self._wanted(axis, value) for axis, value in rule.items()}
            for rule in resolved.spec.exclude
        ]
        self.applied = [False] * len(self.rules)
        known = [
            "language",
            "teacher",
            "student",
            "method",
            "init",
            "seed",
            *(f"distil.{axis}" for axis in axes),
        ]
        complaints = [
            Complaint(
                resolved.document.key_mark(("exclude", index, axis)),
                f"unknown axis {axis!r}; {did_you_mean(axis, known)}",
            )
            for index, rule in enumerate(self.rules)
            for axis in rule
            if axis not in known
        ]
        if complaints:
            raise refuse(complaints)

    @staticmethod
    def _wanted(axis: str, value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    def drops(self, named: dict[str, Any], point: dict[str, Any]) -> bool:
        """Whether a rule leaves this cell out."""
        dropped = False
        for index, rule in enumerate(self.rules):
            if all(self._matches(axis, wanted, named, point) for axis, wanted in rule.items()):
                self.applied[index] = dropped = True
        return dropped

    @staticmethod
    def _matches(axis: str, wanted: list[Any], named: dict[str, Any], point: dict[str, Any]) -> bool:
        have = named[axis] if axis in named else point[axis.removeprefix("distil.")]
        if axis == "init":  # `teacher` stands for every choice of layers
            return have in wanted or have.partition(":")[0] in wanted
        return have in wanted

    def _given_by_option(self, axis: str) -> bool:
        return self.resolved.document.key_mark(("grid", axis)).line == 0

    def raise_unmatched(self) -> None:
        """SpecError for rules that left nothing out: most likely a mistake, unless `--set` replaced an axis they name."""
        complaints = [
            Complaint(
                self.resolved.mark(("exclude", index)),
                "this exclude matches no cell of the grid; correct or remove it",
            )
            for index, applied in enumerate(self.applied)
            if not applied and not any(self._given_by_option(axis) for axis in self.rules[index])
        ]
        if complaints:
            raise refuse(complaints)
