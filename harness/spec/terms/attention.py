"""Terms inside an attention layer: relations of queries, keys and values, themselves, and attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from harness.mappings import AnyMapping, Last, MappingParams, StaticMapping, Uniform
from harness.spec.base import Problem, Shape, divisors_of_both
from harness.spec.terms.base import TERMS, TermParams
from harness.spec.terms.layers import Layer, layer_name, layer_problems, resolve_layer
from harness.spec.terms.states import REDUCE_HELP, mapping_problems

RelationPair = Literal["qq", "kk", "vv", "qk", "qv", "kq", "kv", "vq", "vk"]
HeadCount = Annotated[
    Annotated[int, Field(ge=1, strict=True), Tag("head-count")]
    | Annotated[Literal["whole"], Tag("head-name")],
    Discriminator(lambda value: "head-name" if isinstance(value, str) else "head-count"),
]
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
        """Layers that exist."""
        yield from layer_problems("teacher_layer", self.teacher_layer, teacher.layers, "teacher")
        yield from layer_problems("student_layer", self.student_layer, student.layers, "student")

    def _where(self) -> str:
        teacher, student = layer_name(self.teacher_layer, "T"), layer_name(self.student_layer, "S")
        return f"teacher layer {teacher}, student layer {student}"


def relation_head_problems(heads: int, teacher: Shape, student: Shape) -> Iterator[Problem]:
    """A_r must divide both widths."""
    if teacher.width % heads or student.width % heads:
        works = divisors_of_both(teacher.width, student.width)
        yield Problem(
            ("heads",),
            f"{heads} relation heads must divide the width of the teacher ({teacher.width}) and of the "
            f"student ({student.width}); {', '.join(map(str, works))} would work",
        )


class Relations(OneLayerParams):
    """KL between self-attention relations of teacher and student (MiniLMv2, Wang et al., 2021)."""

    term: Literal["relations"] = "relations"
    pairs: tuple[RelationPair, ...] = Field(
        default=("qq", "kk", "vv"),
        description="Relations X·Yᵀ: `qq` relates queries with queries, `qk` queries with keys, and so on.",
    )
    weights: tuple[float, ...] = Field(
        default=(1 / 3, 1 / 3, 1 / 3),
        description="A factor for each pair; by default 1/number of pairs each.",
    )
    heads: int = Field(
        default=48,
        ge=1,
        description="A_r, relation heads into which the full width is re-split; must divide both widths.",
    )

    implementation: ClassVar[str] = "harness.methods.relations:RelationsTerm"

    @model_validator(mode="before")
    @classmethod
    def _equal_weights(cls, data: Any) -> Any:
        if isinstance(data, dict) and "weights" not in data and isinstance(data.get("pairs"), (list, tuple)):
            return {**data, "weights": [1 / len(data["pairs"]) for _ in data["pairs"]]}
        return data

    @field_validator("pairs")
    @classmethod
    def _distinct(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        if not pairs:
            raise ValueError("name at least one relation, such as qq")
        if len(set(pairs)) != len(pairs):
            raise ValueError("a relation is named twice; give it once with the summed weight")
        return pairs

    @model_validator(mode="after")
    def _a_weight_each(self) -> Relations:
        if len(self.weights) != len(self.pairs):
            raise ValueError(f"{len(self.weights)} weights for {len(self.pairs)} pairs; give one for each")
        if any(weight <= 0 for weight in self.weights):
            raise ValueError("weights must be above 0; leave out the pair that should not count")
        return self

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Layers and relation heads."""
        yield from super().problems(teacher, student)
        yield from relation_head_problems(self.heads, teacher, student)

    def formula(self) -> str:
        """KL over pairs."""
        sums = " + ".join(
            f"{weight:.3g}·KL_{pair.upper()}" for weight, pair in zip(self.weights, self.pairs, strict=True)
        )
        return (
            f"{sums}, KL(softmax(X_T Y_Tᵀ/√d_r) ‖ softmax(X_S Y_Sᵀ/√d_r)) per example, mean over rows and "
            f"{self.heads} relation heads, then over examples; {self._where()}"
        )


class Qkv(OneLayerParams):
    """Mean squared error between projected student queries, keys, values and the teacher's (DirectMiniLM)."""

    term: Literal["qkv"] = "qkv"
    heads: HeadCount = Field(
        default=48,
        description=(
            "A_r: one matrix for each re-split head, d_S/A_r to d_T/A_r, as the study describes it; "
            "`whole`: one matrix from the student's full width to the teacher's."
        ),
    )

    implementation: ClassVar[str] = "harness.methods.projections:QkvTerm"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Layers and re-split heads."""
        yield from super().problems(teacher, student)
        if isinstance(self.heads, int):
            yield from relation_head_problems(self.heads, teacher, student)

    def formula(self) -> str:
        """MSE of the projections."""
        matrix = "W_α" if self.heads == "whole" else f"W_α (block-diagonal over {self.heads} heads)"
        return f"⅓ Σ_{{α∈Q,K,V}} mean((α_S {matrix} − α_T)²) over real tokens and width; {self._where()}"


class AttentionParams(TermParams):
    """What terms share that compare attention of paired layers, head by head."""

    mapping: AnyMapping
    reduce: Literal["mean", "sum"] = Field(default="mean", description=REDUCE_HELP)

    @field_validator("mapping")
    @classmethod
    def _static(cls, mapping: MappingParams) -> MappingParams:
        if not isinstance(mapping, StaticMapping):
            raise ValueError(f"attention is compared under a static mapping, and {mapping.name!r} is dynamic")
        return mapping

    def pairs(self, teacher: Shape, student: Shape) -> dict[int, tuple[int, ...]]:
        """φ without the embedding outputs, which have no attention."""
        assert isinstance(self.mapping, StaticMapping)
        layers = self.mapping.layers(teacher.layers, student.layers)
        attended = {i: tuple(j for j in js if j > 0) for i, js in layers.items() if i > 0}
        return {i: js for i, js in attended.items() if js}

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Depths, and one head count."""
        yield from mapping_problems(self.mapping, teacher, student)
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

    implementation: ClassVar[str] = "harness.methods.attention:AttentionProbsTerm"

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
            resolve_layer(self.student_layer or "last", student.layers): (
                resolve_layer(self.teacher_layer or "last", teacher.layers),
            )
        }

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Also layers that exist."""
        yield from super().problems(teacher, student)
        yield from layer_problems("teacher_layer", self.teacher_layer or "last", teacher.layers, "teacher")
        yield from layer_problems("student_layer", self.student_layer or "last", student.layers, "student")

    def formula(self) -> str:
        """KL of attention."""
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

    implementation: ClassVar[str] = "harness.methods.attention:AttentionScoresTerm"

    def formula(self) -> str:
        """MSE of scores."""
        return (
            f"{self.reduce}_i mean_{{j∈φ(i)}} mean((A^S_i − A^T_j)²) over heads and pairs of real tokens, "
            f"A = Q Kᵀ/√d_h; {self.mapping.formula()}"
        )


TERMS.register("relations", Relations)
TERMS.register("qkv", Qkv)
TERMS.register("attention_probs", AttentionProbs)
TERMS.register("attention_scores", AttentionScores)
