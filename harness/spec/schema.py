"""A spec: a grid of method × student × language × teacher × seed and what to do with every cell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from harness.base import Frozen, Label, Text
from harness.registry import did_you_mean
from harness.spec.entries import Corpus, Language, Method, Name, Student, Task, Teacher
from harness.spec.initialisation import Initialisation
from harness.spec.languages import LANGUAGE_SETS
from harness.spec.recipes import (
    Analyse,
    Distil,
    Finetune,
    FinetuneOverrides,
    KindResources,
    Measure,
    Prepare,
    Seed,
)

MethodRef = str | Method
StudentRef = str | Student
CorpusRef = str | Corpus
LanguageRef = str | tuple[Language, ...]


class Assistant(Frozen):
    """A teacher that is itself a student of this spec's teacher (assistant distillation)."""

    name: Name
    method: MethodRef
    student: StudentRef
    seed: Seed = 0


TeacherRef = str | Assistant | Teacher


class Grid(Frozen):
    """The axes. Any dotted path into the distillation settings is an axis too, e.g. `distil.learning_rate:
    [3e-4, 6e-4]`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    method: tuple[MethodRef, ...] = Field(min_length=1)
    student: tuple[StudentRef, ...] = Field(min_length=1)
    language: tuple[LanguageRef, ...] = ("en",)
    teacher: tuple[TeacherRef, ...] | None = None
    """Null for the spec's `teacher`."""
    init: tuple[Initialisation, ...] = (Initialisation(),)
    seed: tuple[Seed, ...] = (1,)

    @field_validator("language")
    @classmethod
    def _known_sets(cls, sets: tuple[LanguageRef, ...]) -> tuple[LanguageRef, ...]:
        for languages in sets:
            if isinstance(languages, str) and languages not in LANGUAGE_SETS:
                raise ValueError(
                    f"unknown language set {languages!r}; {did_you_mean(languages, list(LANGUAGE_SETS))}, "
                    "or list the languages: [de, en]"
                )
        return sets

    @model_validator(mode="after")
    def _dotted_axes(self) -> Grid:
        for key, values in (self.model_extra or {}).items():
            section, _, name = key.partition(".")
            if section != "distil" or name not in Distil.model_fields:
                known = [*type(self).model_fields, *(f"distil.{field}" for field in Distil.model_fields)]
                message = f"unknown axis '{key}'; {did_you_mean(key, known)}"
                raise PydanticCustomError("unknown_axis", "{message}", {"message": message, "key": key})
            if not isinstance(values, (list, tuple)) or not values:
                raise ValueError(f"axis {key!r} needs a list of at least one value")
        return self

    @property
    def distil_axes(self) -> dict[str, tuple[Any, ...]]:
        """Axes over distillation settings: field of `Distil` -> values."""
        return {key.partition(".")[2]: tuple(values) for key, values in (self.model_extra or {}).items()}


class Select(Frozen):
    """Axes that are searched, not compared: for each method × student × language × teacher the best setting is shown,
    and its row says among how many it was chosen."""

    over: tuple[str, ...] = Field(min_length=1)
    """Axes of the grid, e.g. `[distil.learning_rate]`, with the same values for every method."""
    by: Literal["dev"] = "dev"
    """What the best setting is chosen by: dev scores, averaged over fine-tuning seeds, tasks and students; never test
    scores."""


class TaskUse(Frozen):
    """A task with settings of its own."""

    task: str | Task
    languages: Literal["all", "same"] | tuple[Language, ...] = "all"
    """Languages of the task that are evaluated; `same` for those of the student's language set."""
    finetune: FinetuneOverrides = FinetuneOverrides()
    optional: Annotated[bool, Label()] = False
    """Where its data is not available, leave the task out, which is stated wherever results are shown; otherwise the spec
    is refused."""


class Spec(Frozen):
    """A benchmark: `harness run` computes every result of its grid that is not recorded yet."""

    schema_: Annotated[Literal[1], Label()] = Field(alias="schema")
    name: Name
    description: Text = ""
    teacher: TeacherRef | dict[str, TeacherRef] | None = None
    """One teacher, or one per language set (`{en: roberta-base, xnli15: xlm-roberta-base}`)."""
    corpus: CorpusRef | dict[str, CorpusRef]
    """One corpus, or one per language set."""
    exclude_overlap: bool = False
    """Remove the dev and test sentences of all tasks of this spec from its corpora, as if each corpus listed these tasks
    under `exclude`. Corpora with and without it have different identities."""
    grid: Grid
    select: Select | None = None
    """Show only the best setting of these axes, chosen by dev scores; null compares every setting as a row of its own."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Combinations to leave out, each a mapping from axis to value or list of values."""
    prepare: Prepare | None = None
    """First continue masked-LM training of every teacher on its corpus; all students then learn from the result."""
    distil: Distil = Distil()
    tasks: tuple[str | TaskUse, ...] = Field(min_length=1)
    finetune: Finetune = Finetune()
    models: tuple[str | Teacher, ...] = ()
    """Other checkpoints evaluated and measured by the same protocol, as rows of their own (family
    `external`)."""
    measure: Measure = Measure()
    analyse: Analyse = Analyse()
    resources: KindResources = KindResources()
    max_trials: Annotated[int, Label(), Field(ge=1, le=1_000_000)] = 100_000
    """A plan with more trials than this is refused with its count."""

    @model_validator(mode="after")
    def _has_teacher(self) -> Spec:
        if self.teacher is None and self.grid.teacher is None:
            raise ValueError("no teacher: add `teacher:`, or `teacher:` under `grid:`")
        return self
