"""Where a student's weights start: at random, from layers of its teacher, or from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from harness.assets.asset import Asset
from harness.base import Frozen, Problem
from harness.counted import counted
from harness.families import FAMILIES
from harness.shapes import Shape

LayerRule = Literal["random", "first", "last", "alternate", "distilbert"]
CopiedLayers = Annotated[
    Annotated[LayerRule, Tag("layers-by-rule")]
    | Annotated[tuple[Annotated[int, Field(ge=1, strict=True)], ...], Tag("layers-by-number")],
    Discriminator(lambda value: "layers-by-number" if isinstance(value, (list, tuple)) else "layers-by-rule"),
]
"""Teacher layers to start from: by a rule for any two depths, by number, or none (`random`)."""


class Initialisation(Frozen):
    """Where a student's weights start."""

    source: Literal["random", "teacher", "checkpoint"] = Field(default="random", alias="from")
    """`teacher`: embeddings, masked-LM head and the chosen layers are the teacher's, copied where sizes are equal and
    otherwise projected on the first principal directions of its word embeddings. The student may not be wider."""
    layers: CopiedLayers = "alternate"
    """Which teacher layers the student's start as. `random`: none; they are drawn by the seed. `alternate`: student layer
    i takes teacher layer ⌊(i−1)·L_T/L_S⌋+1. `distilbert`: evenly spaced from the first to the last, 1 +
    (i−1)·(L_T−1)/(L_S−1) rounded, halves upwards; 12 layers to 6 take 1, 3, 5, 8, 10, 12, as DistilBERT's authors do. Or
    one teacher layer (1-based) for each student layer: `[1, 3, 5]`."""
    checkpoint: Asset | None = None

    @model_validator(mode="after")
    def _checkpoint_is_given(self) -> Initialisation:
        if (self.source == "checkpoint") != (self.checkpoint is not None):
            raise ValueError("`checkpoint:` names the files when, and only when, `from: checkpoint`")
        return self

    def hashed(self, fields: dict[str, Any]) -> Any:
        """Without the choice of layers where none are copied."""
        copied = self.source == "teacher"
        return fields if copied else {**fields, "layers": type(self).model_fields["layers"].default}

    @property
    def draws(self) -> bool:
        """Whether any weight of the encoder is drawn by the seed."""
        return self.source == "random" or (self.source == "teacher" and self.layers == "random")

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Why these weights do not fit this student, and what would."""
        if self.source != "teacher":
            return
        if student.width > teacher.width:
            yield Problem(
                ("init",),
                f"initialising from the teacher needs the student's width ({student.width}) to be at most the "
                f"teacher's ({teacher.width}); `from: random` would work",
            )
        elif self.layers != "random":
            yield from _size_problems(teacher, student)
            yield from self._layer_problems(teacher.layers, student.layers)

    def _layer_problems(self, teacher: int, student: int) -> Iterator[Problem]:
        """Layers that are not there to be copied; a list may copy a layer twice."""
        if isinstance(self.layers, str):
            if student > teacher:
                yield Problem(
                    ("init",),
                    f"the teacher has {counted(teacher, 'layer')} to copy, the student needs {student}; "
                    f"a student of at most {counted(teacher, 'layer')}, `layers: [...]` or `layers: random` would work",
                )
            return
        if len(self.layers) != student:
            yield Problem(
                ("init",),
                f"`layers` names {counted(len(self.layers), 'teacher layer')} for a student of {student}; "
                f"{student} would work",
            )
        beyond = [layer for layer in self.layers if layer > teacher]
        if beyond:
            named = ", ".join(map(str, beyond))
            yield Problem(
                ("init",), f"`layers` names {named}, the teacher has {teacher}; 1 to {teacher} would work"
            )

    def copied_layers(self, teacher: int, student: int) -> list[int] | None:
        """Teacher layer (1-based) that each student layer starts as, given depths that have no `problems`; None where
        they are random.

        `alternate` drops every second layer of a teacher twice as deep (Sajjad et al., 2023); `distilbert` are
        the layers of the extraction script of DistilBERT's authors (Sanh et al., 2019), for any depths."""
        numbers = range(1, student + 1)
        match self.layers:
            case "random":
                return None
            case "first":
                return list(numbers)
            case "last":
                return [teacher - student + i for i in numbers]
            case "alternate":
                return [(i - 1) * teacher // student + 1 for i in numbers]
            case "distilbert":
                gaps = max(student - 1, 1)
                return [1 + (2 * (i - 1) * (teacher - 1) + gaps) // (2 * gaps) for i in numbers]
            case _:
                return list(self.layers)


def _size_problems(teacher: Shape, student: Shape) -> Iterator[Problem]:
    """Why layers of these sizes cannot be projected: heads and neurons are selected, and made smaller, never added."""
    if student.ffn > teacher.ffn:
        yield Problem(
            ("init",),
            f"initialising layers from the teacher needs the student's ffn ({student.ffn}) to be at most the teacher's "
            f"({teacher.ffn}); `layers: random` takes any",
        )
    size = teacher.width // teacher.heads
    same = (student.width, student.heads, student.ffn) == (teacher.width, teacher.heads, teacher.ffn)
    family = FAMILIES[teacher.model_type]
    if family.rotary and student.width // student.heads != size:
        fit = f"heads: {student.width // size} would work, and " if student.width % size == 0 else ""
        yield Problem(
            ("init",),
            f"initialising layers from the teacher needs its head size {size}, the student's is "
            f"{student.width // student.heads}: {teacher.model_type} rotates fixed pairs of a head's coordinates by "
            f"position, which a smaller head has not; {fit}`layers: random` takes any",
        )
    elif family.added_to_scores is not None and student.heads != teacher.heads:
        yield Problem(
            ("init",),
            f"initialising layers from the teacher needs its {teacher.heads} heads, the student has {student.heads}: "
            f"each head of {teacher.model_type} adds {family.added_to_scores} of its own, the same in every layer; "
            "`layers: random` takes any",
        )
    elif student.heads > teacher.heads or student.width // student.heads > size:
        fitting = [
            str(heads)
            for heads in range(1, teacher.heads + 1)
            if student.width % heads == 0 and student.width // heads <= size
        ]
        fit = f"heads: {' or '.join(fitting)} would work, and " if fitting else ""
        yield Problem(
            ("init",),
            f"initialising layers from the teacher needs at most its {teacher.heads} heads and head size {size}, the "
            f"student has {student.heads} of {student.width // student.heads}; {fit}`layers: random` takes any",
        )
    if not same and not family.projects_layers:
        yield Problem(
            ("init",),
            f"the family {teacher.model_type!r} does not say what a layer's parts are, so that its layers can be copied, "
            "not projected; `layers: random`, or a student of the teacher's width, heads and ffn, would work",
        )
