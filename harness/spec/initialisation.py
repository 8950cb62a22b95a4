"""Where a student's weights start: at random, from layers of its teacher, or from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from harness.assets.asset import Asset
from harness.base import Frozen, Problem
from harness.shapes import Shape

LayerRule = Literal["first", "last", "alternate", "distilbert"]
CopiedLayers = Annotated[
    Annotated[LayerRule, Tag("layers-by-rule")]
    | Annotated[tuple[Annotated[int, Field(ge=1, strict=True)], ...], Tag("layers-by-number")],
    Discriminator(lambda value: "layers-by-number" if isinstance(value, (list, tuple)) else "layers-by-rule"),
]
"""Teacher layers to copy: by a rule for any two depths, or by number."""


class Initialisation(Frozen):
    """Where a student's weights start."""

    source: Literal["random", "teacher", "checkpoint"] = Field(default="random", alias="from")
    """`teacher` copies embeddings and the chosen layers; the student then needs the teacher's width, heads and FFN."""
    layers: CopiedLayers = "alternate"
    """Which teacher layers are copied. `alternate`: student layer i takes teacher layer ⌊(i−1)·L_T/L_S⌋+1. `distilbert`:
    evenly spaced from the first to the last, 1 + (i−1)·(L_T−1)/(L_S−1) rounded, halves upwards; 12 layers to 6 copy 1, 3,
    5, 8, 10, 12, as DistilBERT's authors do. Or one teacher layer (1-based) for each student layer: `[1, 3, 5]`."""
    checkpoint: Asset | None = None

    @model_validator(mode="after")
    def _checkpoint_is_given(self) -> Initialisation:
        if (self.source == "checkpoint") != (self.checkpoint is not None):
            raise ValueError("`checkpoint:` and `from: checkpoint` need each other; give both or neither")
        return self

    def hashed(self, fields: dict[str, Any]) -> Any:
        """Without the choice of layers where none are copied."""
        copied = self.source == "teacher"
        return fields if copied else {**fields, "layers": type(self).model_fields["layers"].default}

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Why these weights do not fit this student."""
        if self.source != "teacher":
            return
        for size in ("width", "heads", "ffn"):
            have, want = getattr(student, size), getattr(teacher, size)
            if have != want:
                yield Problem(
                    ("init",),
                    f"initialising from the teacher needs the student's {size} ({have}) "
                    f"to equal the teacher's ({want})",
                )
        yield from self._layer_problems(teacher.layers, student.layers)

    def _layer_problems(self, teacher: int, student: int) -> Iterator[Problem]:
        """Layers that are not there to be copied; a list may copy a layer twice."""
        if isinstance(self.layers, str):
            if student > teacher:
                yield Problem(
                    ("init",),
                    f"the teacher has {teacher} layers to copy, the student needs {student}; "
                    f"a student of at most {teacher} layers or `layers: [...]` would work",
                )
            return
        if len(self.layers) != student:
            yield Problem(
                ("init",),
                f"`layers` names {len(self.layers)} teacher layers for a student of {student}; "
                f"{student} would work",
            )
        beyond = [layer for layer in self.layers if layer > teacher]
        if beyond:
            named = ", ".join(map(str, beyond))
            yield Problem(
                ("init",), f"`layers` names {named}, the teacher has {teacher}; 1 to {teacher} would work"
            )

    def copied_layers(self, teacher: int, student: int) -> list[int]:
        """Teacher layer (1-based) that each student layer is copied from, given depths that have no
        `problems`.

        `alternate` drops every second layer of a teacher twice as deep (Sajjad et al., 2023); `distilbert` are
        the layers of the extraction script of DistilBERT's authors (Sanh et al., 2019), for any depths."""
        numbers = range(1, student + 1)
        match self.layers:
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
