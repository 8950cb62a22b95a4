"""What YAML may say: read when a spec is validated, so no torch here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.base import Problem
from harness.methods.mappings.mapping import LayerMap, StaticMapping
from harness.methods.terms import TermParams
from harness.shapes import Shape


class FirstK(StaticMapping):
    """The teacher's first L_S layers in order, one to one."""

    name: Literal["first_k"] = "first_k"

    def layers(self, teacher_layers: int, student_layers: int) -> LayerMap:
        """φ(i) = {i}."""
        return {i: (i,) for i in range(1, student_layers + 1)}

    def formula(self) -> str:
        """One to one."""
        return "φ(i) = {i}"


class StateNorm(TermParams):
    """The length of each token's last hidden state, so that no projection is needed."""

    term: Literal["state_norm"] = "state_norm"
    root: bool = Field(default=False, description="Divide lengths by √width first.")
    implementation: ClassVar[str] = "harness_example.losses:StateNormLoss"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Lengths of different widths compare only after division."""
        if teacher.width != student.width and not self.root:
            yield Problem(
                ("root",),
                f"widths differ (teacher {teacher.width}, student {student.width}); set `root: true`",
            )

    def formula(self) -> str:
        """Squared difference of lengths."""
        return "mean((‖H^S_L‖ − ‖H^T_L‖)²) over real tokens"
