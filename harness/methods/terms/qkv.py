"""Queries, keys and values themselves (DirectMiniLM)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from harness.base import Problem
from harness.methods.layer import (
    OneLayerParams,
    relation_head_problems,
)
from harness.methods.term import TERMS
from harness.shapes import Shape

HeadCount = Annotated[
    Annotated[int, Field(ge=1, strict=True), Tag("head-count")]
    | Annotated[Literal["whole"], Tag("head-name")],
    Discriminator(lambda value: "head-name" if isinstance(value, str) else "head-count"),
]


class Qkv(OneLayerParams):
    """Mean squared error between projected student queries, keys, values and the teacher's (DirectMiniLM)."""

    term: Literal["qkv"] = "qkv"
    heads: HeadCount = Field(
        default=48,
        description=(
            "A_r: one matrix for each of A_r re-split heads, d_S/A_r to d_T/A_r, as the paper describes it; "
            "`whole`: one matrix from the student's full width to the teacher's."
        ),
    )

    implementation: ClassVar[str] = "harness.methods.losses.qkv:QkvLoss"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        yield from super().problems(teacher, student)
        if isinstance(self.heads, int):
            yield from relation_head_problems(self.heads, teacher, student)

    def formula(self) -> str:
        matrix = "W_α" if self.heads == "whole" else f"W_α (block-diagonal over {self.heads} heads)"
        return f"⅓ Σ_{{α∈Q,K,V}} mean((α_S {matrix} − α_T)²) over real tokens and width; {self._where()}"


TERMS.register("qkv", Qkv)
