"""A layer of a model whose depth the spec need not know: by index, `last`, or counted from the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from harness.base import Added, Frozen, Problem, divisors_of_both
from harness.counted import counted
from harness.families import AttentionType
from harness.methods.term import TermParams
from harness.shapes import Shape


class FromEnd(Frozen):
    """The layer k below the last one, L − k; of a type, the k-th below the last of that type."""

    from_end: int = Field(ge=0, description="k in L − k; 0 is the last layer.")
    type: Annotated[AttentionType | None, Added()] = Field(
        default=None,
        description="Count only layers of this attention: `full`, or `sliding` (a window of positions).",
    )

    def hashed(self, fields: dict[str, Any]) -> Any:
        """`{from_end: 0}` is `last`, and of type full `last_full`."""
        names = {None: "last", "full": "last_full"}
        return names[self.type] if self.from_end == 0 and self.type in names else fields


def _form(value: Any) -> str:
    if isinstance(value, str):
        return "layer-name"
    return "layer-from-end" if isinstance(value, (dict, FromEnd)) else "layer-index"


Layer = Annotated[
    Annotated[int, Field(ge=1, strict=True), Tag("layer-index")]
    | Annotated[Literal["last", "last_full"], Tag("layer-name")]
    | Annotated[FromEnd, Tag("layer-from-end")],
    Discriminator(_form),
]
"""A 1-based index, `last`, `last_full`, or `{from_end: k}` for layer L − k, of those of one `type` where it is named."""


def _counted_back(layer: str | FromEnd) -> FromEnd:
    """A name, spelt out."""
    if isinstance(layer, FromEnd):
        return layer
    return FromEnd(from_end=0, type="full" if layer == "last_full" else None)


def _candidates(layer: FromEnd, shape: Shape) -> Sequence[int]:
    """The layers that are counted."""
    return shape.layers_of(layer.type) if layer.type else range(1, shape.layers + 1)


def resolve_layer(layer: int | str | FromEnd, shape: Shape) -> int:
    """The 1-based index in a model of this shape (out of range where the spec names a layer that is not there)."""
    if isinstance(layer, int):
        return layer
    back = _counted_back(layer)
    there = _candidates(back, shape)
    return there[-1 - back.from_end] if back.from_end < len(there) else len(there) - back.from_end


def layer_problems(field: str, layer: int | str | FromEnd, shape: Shape, whose: str) -> Iterator[Problem]:
    """Why the model has no such layer."""
    if 1 <= resolve_layer(layer, shape) <= shape.layers:
        return
    if isinstance(layer, int):
        count, kind, works, named = shape.layers, "", f"1 to {shape.layers}", str(layer)
    else:
        back = _counted_back(layer)
        count, kind = len(_candidates(back, shape)), f"{back.type} " if back.type else ""
        typed = f", type: {back.type}" if back.type else ""
        named = f"{{from_end: {back.from_end}{typed}}}"
        works = f"{{from_end: 0{typed}}} to {{from_end: {count - 1}{typed}}}" if count else "`last`"
    yield Problem(
        (field,),
        f"the {whose} has {counted(count, f'{kind}layer')}, so {field} {named} does not exist; {works} would work",
    )


def layer_name(layer: int | str | FromEnd, model: str) -> str:
    """The layer as mathematics: `L_T`, `L_T−1`, `5`, or `L_T(full)−1` for the last but one of the full layers."""
    if isinstance(layer, int):
        return str(layer)
    back = _counted_back(layer)
    name = f"L_{model}({back.type})" if back.type else f"L_{model}"
    return f"{name}−{back.from_end}" if back.from_end else name


PROJECTIONS = {"q": "query", "k": "key", "v": "value"}


TEACHER_LAYER_HELP = (
    "Teacher layer read: a 1-based index, `last`, or `{from_end: k}` for L_T − k; `last_full` or `{from_end: k, type: "
    "full}` counts only layers whose positions attend to all others, `type: sliding` the others. The study found L_T−1 and "
    "L_T−2 best; MiniLMv2's paper took the last layer of base-size teachers, 21 of BERT-large's 24 and 19 "
    "of RoBERTa-large's."
)


STUDENT_LAYER_HELP = (
    "Student layer that learns: a 1-based index, `last`, `last_full`, or `{from_end: k}` for L_S − k, with a `type` as of "
    "the teacher."
)


class OneLayerParams(TermParams):
    """What terms share that read one attention layer of each model."""

    teacher_layer: Layer = Field(default="last", description=TEACHER_LAYER_HELP)
    student_layer: Layer = Field(default="last", description=STUDENT_LAYER_HELP)

    def pair(self, teacher: Shape, student: Shape) -> tuple[int, int]:
        """(student layer, teacher layer), 1-based."""
        return resolve_layer(self.student_layer, student), resolve_layer(self.teacher_layer, teacher)

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Layers that one of the models does not have."""
        yield from layer_problems("teacher_layer", self.teacher_layer, teacher, "teacher")
        yield from layer_problems("student_layer", self.student_layer, student, "student")

    def _where(self) -> str:
        teacher, student = layer_name(self.teacher_layer, "T"), layer_name(self.student_layer, "S")
        return f"teacher layer {teacher}, student layer {student}"


def pair_lines(objective: Sequence[TermParams], teacher: Shape, student: Shape) -> Iterator[str]:
    """For people: of each term that reads one layer of either model, which; and the attention of each layer."""
    for term in objective:
        if isinstance(term, OneLayerParams):
            mine, its = term.pair(teacher, student)
            yield f"{term.term}: student layer {_place(mine, student)} learns from teacher layer {_place(its, teacher)}"
    if teacher.layer_types:
        marks = {"full": "F", "sliding": "s"}
        rows = (
            f"{whose} {''.join(marks[one] for one in shape.layer_types)}"
            for whose, shape in (("teacher", teacher), ("student", student))
        )
        yield f"attention (F all positions, s {teacher.window} to either side): {', '.join(rows)}"


def _place(layer: int, shape: Shape) -> str:
    kind = f" ({shape.layer_types[layer - 1]} attention)" if 1 <= layer <= len(shape.layer_types) else ""
    return f"{layer} of {shape.layers}{kind}"


def relation_head_problems(heads: int, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """Why A_r does not divide both widths, and the values that do."""
    if teacher.width % heads or student.width % heads:
        works = divisors_of_both(teacher.width, student.width)
        yield Problem(
            ("heads",),
            f"{heads} relation heads must divide the width of the teacher ({teacher.width}) and of the "
            f"student ({student.width}); {', '.join(map(str, works))} would work",
        )
