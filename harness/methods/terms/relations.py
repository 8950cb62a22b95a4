"""Relations between the positions of a text inside one attention layer (MiniLMv2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from harness.base import Problem
from harness.counted import counted
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

    def formula(self) -> str:
        sums = " + ".join(
            f"{weight:.3g}·KL_{pair.upper()}" for weight, pair in zip(self.weights, self.pairs, strict=True)
        )
        return (
            f"{sums}, KL(softmax(X_T Y_Tᵀ/√d_r) ‖ softmax(X_S Y_Sᵀ/√d_r)) per example, mean over rows and "
            f"{self.heads} relation heads, then over examples; {self._where()}"
        )


TERMS.register("relations", Relations)
