"""Parameters shared by the terms that compare pairs of layers: mapping, projection and weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from harness.base import Problem
from harness.counted import counted
from harness.methods.mappings import AnyMapping, MappingParams, StaticMapping
from harness.methods.term import TermParams
from harness.shapes import Shape

ProjectionKind = Literal["linear", "shared_linear", "per_pair", "none"]
"""How student states reach the teacher's width; `none` where widths are equal."""


PROJECTION_HELP = (
    "W: `linear` is one matrix for each student layer, `shared_linear` one for all, `per_pair` one for each pair "
    "of layers; `none` compares the states as they are (equal widths)."
)


REDUCE_HELP = "`mean` or `sum` (as in several papers) over the student layers that the mapping pairs."


def mapping_problems(mapping: MappingParams, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """The mapping's own problems, under the field `mapping`."""
    for problem in mapping.problems(teacher.layers, student.layers):
        yield Problem(("mapping", *problem.field), problem.message)


def width_problems(projection: str, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """States of different widths cannot be compared without a projection."""
    if projection == "none" and teacher.width != student.width:
        yield Problem(
            ("projection",),
            f"states of width {student.width} (student) and {teacher.width} (teacher) cannot be compared "
            f"without a projection; `projection: linear` or a student of width {teacher.width} would work",
        )


class LayerPairParams(TermParams):
    """Parameters shared by the terms that compare student layer i with each teacher layer of φ(i)."""

    mapping: AnyMapping
    projection: ProjectionKind
    bias: bool = Field(default=False, description="Whether the projections have a bias.")
    reduce: Literal["mean", "sum"] = Field(default="mean", description=REDUCE_HELP)
    pair_weights: tuple[float, ...] | None = Field(
        default=None,
        description=(
            "A factor for each pair of layers of a static mapping, student layers ascending, then teacher "
            "layers ascending; null for 1 each."
        ),
    )

    def hashed(self, fields: dict[str, Any]) -> Any:
        """Weights of 1 each are no weights."""
        weighted = self.pair_weights is not None and set(self.pair_weights) != {1.0}
        hashed: dict[str, Any] = super().hashed(fields)
        return hashed if weighted else {**hashed, "pair_weights": None}

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Depths, widths, and weights that fit the pairs."""
        yield from mapping_problems(self.mapping, teacher, student)
        yield from width_problems(self.projection, teacher, student)
        if self.mapping.name == "attention" and self.projection == "per_pair":
            yield Problem(
                ("projection",),
                "the attention mapping blends all teacher layers into one target, so there are no pairs to "
                "project apart; `linear` or `shared_linear` would work",
            )
        yield from self._pair_weight_problems(teacher, student)

    def _pair_weight_problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        if self.pair_weights is None:
            return
        if not isinstance(self.mapping, StaticMapping):
            yield Problem(
                ("pair_weights",),
                f"the {self.mapping.name} mapping weighs its pairs itself; leave pair_weights out",
            )
            return
        pairs = [(i, j) for i, js in self.mapping.layers(teacher.layers, student.layers).items() for j in js]
        if len(pairs) != len(self.pair_weights):
            yield Problem(
                ("pair_weights",),
                f"{counted(len(self.pair_weights), 'weight')} for {counted(len(pairs), 'pair')} of layers "
                f"(student, teacher): {', '.join(map(str, pairs))}; {counted(len(pairs), 'weight')} would work",
            )

    def _student_state(self) -> str:
        matrix = {"none": "", "shared_linear": " W", "linear": " W_i", "per_pair": " W_ij"}[self.projection]
        return f"H^S_i{matrix}" + (" + b" if self.bias and matrix else "")

    def _over_layers(self) -> str:
        weights = "w_ij · " if self.pair_weights else ""
        if self.mapping.name == "attention":
            inside = f"{self.reduce}_i"
        elif self.mapping.name == "emd":
            inside = "Σ_ij F_ij" if self.reduce == "mean" else "L_S Σ_ij F_ij"
        else:
            inside = f"{self.reduce}_i mean_{{j∈φ(i)}}"
        return f"{inside} {weights}"
