"""Relations between the positions of a text inside one attention layer (MiniLMv2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from harness.base import Added, Problem, divisors_of_both
from harness.counted import counted
from harness.families import FAMILIES
from harness.methods.layer import (
    OneLayerParams,
    relation_head_problems,
)
from harness.methods.term import TERMS
from harness.shapes import Shape

RelationPair = Literal["qq", "kk", "vv", "qk", "qv", "kq", "kv", "vq", "vk"]
RELATION_PAIRS: tuple[str, ...] = get_args(RelationPair)


class Relations(OneLayerParams):
    """KL between self-attention relations of teacher and student (MiniLMv2, Wang et al., 2021)."""

    term: Literal["relations"] = "relations"
    pairs: tuple[RelationPair, ...] = Field(
        default=("qq", "kk", "vv"),
        description="Relations X·Yᵀ: `qq` relates queries with queries, `qk` queries with keys, and so on.",
    )
    weights: tuple[float, ...] = Field(
        default=(1 / 3, 1 / 3, 1 / 3),
        description="A factor above 0 for each pair; by default 1 over the number of pairs.",
    )
    heads: int = Field(
        default=48,
        ge=1,
        description="A_r, relation heads into which the full width is re-split; must divide both widths.",
    )

    rope: Annotated[Literal["before", "after"], Added()] = Field(
        default="before",
        description=(
            "Queries and keys of a family with rotary positions before their rotation, or `after` it; `heads` must then "
            "divide both models' attention heads, since a smaller part of a head would take rotated pairs apart."
        ),
    )
    window: Annotated[bool, Added()] = Field(
        default=False,
        description="Relate only positions that the teacher's layer lets see each other; needs a sliding layer.",
    )

    implementation: ClassVar[str] = "harness.methods.losses.relations:RelationsLoss"

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
            raise ValueError(
                f"{counted(len(self.weights), 'weight')} for {counted(len(self.pairs), 'pair')}; give one for each"
            )
        if any(weight <= 0 for weight in self.weights):
            raise ValueError("weights must be above 0; leave out the pair that should not count")
        return self

    def hashed(self, fields: dict[str, Any]) -> Any:
        """The pairs in one order, each with its weight."""
        order = sorted(range(len(self.pairs)), key=lambda index: RELATION_PAIRS.index(self.pairs[index]))
        arranged = {name: [fields[name][index] for index in order] for name in ("pairs", "weights")}
        return {**super().hashed(fields), **arranged}

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        yield from super().problems(teacher, student)
        yield from relation_head_problems(self.heads, teacher, student)
        if self.rope == "after":
            yield from self._rope_problems(teacher, student)
        layer = self.pair(teacher, student)[1]
        if self.window and 1 <= layer <= teacher.layers and teacher.window_of(layer) is None:
            works = teacher.layers_of("sliding")
            instead = f"teacher_layer {', '.join(map(str, works))} or " if works else ""
            yield Problem(
                ("window",),
                f"positions of teacher layer {layer} see all others, so it has no window; "
                f"{instead}`window: false` would work",
            )

    def _rope_problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Families without rotation, and relation heads that would take rotated pairs apart."""
        if not FAMILIES[teacher.model_type].rotary:
            yield Problem(
                ("rope",),
                f"the family {teacher.model_type!r} does not rotate queries and keys; `rope: before` would work",
            )
        elif teacher.heads % self.heads or student.heads % self.heads:
            works = ", ".join(map(str, divisors_of_both(teacher.heads, student.heads)))
            yield Problem(
                ("heads",),
                f"after RoPE {self.heads} relation heads must divide the attention heads of the teacher "
                f"({teacher.heads}) and of the student ({student.heads}); {works} would work, or `rope: before`",
            )

    def formula(self) -> str:
        sums = " + ".join(
            f"{weight:.3g}·KL_{pair.upper()}" for weight, pair in zip(self.weights, self.pairs, strict=True)
        )
        rotated = ", Q and K after RoPE" if self.rope == "after" else ""
        within = ", positions within the layer's window" if self.window else ""
        return (
            f"{sums}, KL(softmax(X_T Y_Tᵀ/√d_r) ‖ softmax(X_S Y_Sᵀ/√d_r)) per example, mean over rows and "
            f"{self.heads} relation heads, then over examples{rotated}{within}; {self._where()}"
        )


TERMS.register("relations", Relations)
