"""A layer of a model whose depth the spec need not know: by index, `last`, or counted from the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.base import Frozen, Problem, divisors_of_both
from harness.counted import counted
from harness.methods.term import TermParams
from harness.shapes import Shape


class FromEnd(Frozen):
    """The layer k below the last one, L − k."""

    from_end: int = Field(ge=0, description="k in L − k; 0 is the last layer.")

    def hashed(self, fields: dict[str, Any]) -> Any:
        """`{from_end: 0}` is `last`."""
        return fields if self.from_end else "last"


def _form(value: Any) -> str:
    if isinstance(value, str):
        return "layer-name"
    return "layer-from-end" if isinstance(value, (dict, FromEnd)) else "layer-index"


Layer = Annotated[
    Annotated[int, Field(ge=1, strict=True), Tag("layer-index")]
    | Annotated[Literal["last"], Tag("layer-name")]
    | Annotated[FromEnd, Tag("layer-from-end")],
    Discriminator(_form),
]
"""A 1-based index, `last`, or `{from_end: k}` for layer L − k."""


def resolve_layer(layer: int | str | FromEnd, layers: int) -> int:
    """The 1-based index in a model of `layers` layers (out of range where the spec names a layer that is not there)."""
    if isinstance(layer, FromEnd):
        return layers - layer.from_end
    return layer if isinstance(layer, int) else layers


def layer_problems(field: str, layer: int | str | FromEnd, layers: int, whose: str) -> Iterator[Problem]:
    """Why the model has no such layer."""
    if 1 <= resolve_layer(layer, layers) <= layers:
        return
    works = (
        f"{{from_end: 0}} to {{from_end: {layers - 1}}}" if isinstance(layer, FromEnd) else f"1 to {layers}"
    )
    named = f"{{from_end: {layer.from_end}}}" if isinstance(layer, FromEnd) else str(layer)
    yield Problem(
        (field,),
        f"the {whose} has {counted(layers, 'layer')}, so {field} {named} does not exist; {works} would work",
    )


def layer_name(layer: int | str | FromEnd, model: str) -> str:
    """The layer as mathematics: `L_T`, `L_T−1` or `5`."""
    if isinstance(layer, int):
        return str(layer)
    k = layer.from_end if isinstance(layer, FromEnd) else 0
    return f"L_{model}−{k}" if k else f"L_{model}"


PROJECTIONS = {"q": "query", "k": "key", "v": "value"}


TEACHER_LAYER_HELP = (
    "Teacher layer read: a 1-based index, `last`, or `{from_end: k}` for L_T − k. The study found L_T−1 and "
    "L_T−2 best; MiniLMv2's paper took the last layer of base-size teachers, 21 of BERT-large's 24 and 19 "
    "of RoBERTa-large's."
)


STUDENT_LAYER_HELP = "Student layer that learns: a 1-based index, `last`, or `{from_end: k}` for L_S − k."


class OneLayerParams(TermParams):
    """What terms share that read one attention layer of each model."""

    teacher_layer: Layer = Field(default="last", description=TEACHER_LAYER_HELP)
    student_layer: Layer = Field(default="last", description=STUDENT_LAYER_HELP)

    def pair(self, teacher: Shape, student: Shape) -> tuple[int, int]:
        """(student layer, teacher layer), 1-based."""
        return resolve_layer(self.student_layer, student.layers), resolve_layer(
            self.teacher_layer, teacher.layers
        )

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Layers that one of the models does not have."""
        yield from layer_problems("teacher_layer", self.teacher_layer, teacher.layers, "teacher")
        yield from layer_problems("student_layer", self.student_layer, student.layers, "student")

    def _where(self) -> str:
        teacher, student = layer_name(self.teacher_layer, "T"), layer_name(self.student_layer, "S")
        return f"teacher layer {teacher}, student layer {student}"


def relation_head_problems(heads: int, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """Why A_r does not divide both widths, and the values that do."""
    if teacher.width % heads or student.width % heads:
        works = divisors_of_both(teacher.width, student.width)
        yield Problem(
            ("heads",),
            f"{heads} relation heads must divide the width of the teacher ({teacher.width}) and of the "
            f"student ({student.width}); {', '.join(map(str, works))} would work",
        )
