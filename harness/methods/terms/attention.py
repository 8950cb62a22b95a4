"""Terms on the attention of paired layers: its distributions (MiniLM) and its scores before softmax (TinyBERT)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from harness.base import Problem
from harness.families import FAMILIES
from harness.methods.layer import (
    Layer,
    layer_name,
    layer_problems,
    resolve_layer,
)
from harness.methods.mappings import AnyMapping, Last, MappingParams, StaticMapping, Uniform
from harness.methods.term import TERMS, TermParams
from harness.methods.terms.layer_pairs import REDUCE_HELP, mapping_problems
from harness.shapes import Shape


class AttentionParams(TermParams):
    """Parameters shared by the terms that compare attention of paired layers, head by head.

    Queries and keys are taken as attention multiplies them, after RoPE where a family has it. Of a sliding layer's
    attention there is only its window: a pair of layers is compared where both see."""

    mapping: AnyMapping
    reduce: Literal["mean", "sum"] = Field(default="mean", description=REDUCE_HELP)

    @field_validator("mapping")
    @classmethod
    def _static(cls, mapping: MappingParams) -> MappingParams:
        if not isinstance(mapping, StaticMapping):
            raise ValueError(f"attention needs a static mapping, e.g. `uniform`; {mapping.name!r} is dynamic")
        return mapping

    def pairs(self, teacher: Shape, student: Shape) -> dict[int, tuple[int, ...]]:
        """φ without the embedding outputs, which have no attention."""
        assert isinstance(self.mapping, StaticMapping)
        layers = self.mapping.layers(teacher.layers, student.layers)
        attended = {i: tuple(j for j in js if j > 0) for i, js in layers.items() if i > 0}
        return {i: js for i, js in attended.items() if js}

    def window(self, teacher: Shape, student: Shape, student_layer: int, teacher_layer: int) -> int | None:
        """Positions to either side that both layers of a pair see; None where both see all."""
        windows = teacher.window_of(teacher_layer), student.window_of(student_layer)
        return min((one for one in windows if one is not None), default=None)

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        yield from mapping_problems(self.mapping, teacher, student)
        added = FAMILIES[teacher.model_type].added_to_scores
        if added is not None:
            yield Problem(
                ("term",),
                f"attention of the family {teacher.model_type!r} adds {added} to Q·Kᵀ, so {self.term} cannot be rebuilt "
                "from its queries and keys; the term `relations` would work",
            )
        if teacher.heads != student.heads:
            yield Problem(
                ("term",),
                f"{self.term} compares attention head by head: the teacher has {teacher.heads} heads, the "
                f"student {student.heads}; a student of {teacher.heads} heads would work, or the term "
                "`relations`, which re-splits the heads",
            )


class AttentionProbs(AttentionParams):
    """KL between the attention distributions of paired layers (MiniLM, Wang et al., 2020, L_AT)."""

    term: Literal["attention_probs"] = "attention_probs"
    mapping: AnyMapping = Field(
        default=Last(), description="Which teacher layers each student layer learns from."
    )
    teacher_layer: Layer | None = Field(
        default=None,
        description="One pair of layers instead of a mapping: the teacher's.",
    )
    student_layer: Layer | None = Field(
        default=None,
        description="One pair of layers instead of a mapping: the student's.",
    )

    implementation: ClassVar[str] = "harness.methods.losses.attention:AttentionProbsLoss"

    @model_validator(mode="before")
    @classmethod
    def _a_mapping_or_one_pair(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        pair = any(data.get(layer) is not None for layer in ("teacher_layer", "student_layer"))
        # A recorded trial has every default written out, the mapping's too.
        recorded = (None, Last(), Last().model_dump(mode="json"))
        if pair and data.get("mapping") not in recorded:
            raise ValueError("give `mapping`, or one pair by `teacher_layer` and `student_layer`, not both")
        return data

    def pairs(self, teacher: Shape, student: Shape) -> dict[int, tuple[int, ...]]:
        """The one pair, or the mapping's."""
        if self.teacher_layer is None and self.student_layer is None:
            return super().pairs(teacher, student)
        return {
            resolve_layer(self.student_layer or "last", student): (
                resolve_layer(self.teacher_layer or "last", teacher),
            )
        }

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        yield from super().problems(teacher, student)
        yield from layer_problems("teacher_layer", self.teacher_layer or "last", teacher, "teacher")
        yield from layer_problems("student_layer", self.student_layer or "last", student, "student")

    def formula(self) -> str:
        if self.teacher_layer is None and self.student_layer is None:
            where = self.mapping.formula()
        else:
            teacher, student = self.teacher_layer or "last", self.student_layer or "last"
            where = f"teacher layer {layer_name(teacher, 'T')}, student layer {layer_name(student, 'S')}"
        return (
            f"{self.reduce}_i mean_{{j∈φ(i)}} KL(P^T_j ‖ P^S_i) per example, mean over rows and heads, then "
            f"over examples, P = softmax(Q Kᵀ/√d_h); {where}"
        )


class AttentionScores(AttentionParams):
    """Mean squared error between pre-softmax attention scores (TinyBERT, Jiao et al., 2020, L_attn)."""

    term: Literal["attention_scores"] = "attention_scores"
    mapping: AnyMapping = Field(
        default=Uniform(), description="Which teacher layers each student layer learns from."
    )

    implementation: ClassVar[str] = "harness.methods.losses.attention:AttentionScoresLoss"

    def formula(self) -> str:
        return (
            f"{self.reduce}_i mean_{{j∈φ(i)}} mean((A^S_i − A^T_j)²) over heads and pairs of real tokens, "
            f"A = Q Kᵀ/√d_h; {self.mapping.formula()}"
        )


TERMS.register("attention_probs", AttentionProbs)
TERMS.register("attention_scores", AttentionScores)
