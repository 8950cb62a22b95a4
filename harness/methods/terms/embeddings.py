"""The embedding outputs (TinyBERT)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.base import Problem
from harness.methods.term import TERMS, TermParams
from harness.methods.terms.layer_pairs import width_problems
from harness.shapes import Shape


class Embeddings(TermParams):
    """Mean squared error between the embedding outputs (TinyBERT, Jiao et al., 2020, L_embd)."""

    term: Literal["embeddings"] = "embeddings"
    projection: Literal["linear", "none"] = Field(
        default="linear", description="W, one matrix to the teacher's width; `none` where widths are equal."
    )
    bias: bool = Field(default=False, description="Whether the projection has a bias.")

    implementation: ClassVar[str] = "harness.methods.losses.embeddings:EmbeddingsLoss"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        yield from width_problems(self.projection, teacher, student)

    def formula(self) -> str:
        state = "H^S_0" if self.projection == "none" else "H^S_0 W" + (" + b" if self.bias else "")
        return f"mean(({state} − H^T_0)²) over real tokens and width"


TERMS.register("embeddings", Embeddings)
