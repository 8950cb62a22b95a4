"""Terms on the output distribution: what teacher and student predict for a position of the text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.base import Problem
from harness.methods.term import TERMS, TermParams
from harness.shapes import Shape


class Logits(TermParams):
    """KL of the masked-LM distributions, softened by a temperature (Hinton et al., 2015)."""

    term: Literal["logits"] = "logits"
    temperature: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="t, by which both models' logits are divided."
    )
    positions: Literal["masked", "all"] = Field(
        default="masked",
        description="Positions compared: the corrupted ones (needs `input: masked`) or all real tokens.",
    )
    scale_t2: bool = Field(
        default=True, description="Multiply by t², which keeps the gradient's size when t changes."
    )

    implementation: ClassVar[str] = "harness.methods.losses.logits:LogitsLoss"
    needs_mlm_head: ClassVar[bool] = True
    trains_mlm_head: ClassVar[bool] = True

    @property
    def needs_masked_input(self) -> bool:
        """Corrupted positions exist only in masked input."""
        return self.positions == "masked"

    def problems(self, teacher: Shape, student: Shape) -> Iterator[Problem]:
        """Both distributions are over one vocabulary."""
        if teacher.vocabulary != student.vocabulary:
            yield Problem(
                ("term",),
                f"logits compare distributions over one vocabulary: the teacher's has {teacher.vocabulary} "
                f"entries, the student's {student.vocabulary}; a student with {teacher.vocabulary} would "
                "work",
            )

    def formula(self) -> str:
        t = f"{self.temperature:g}"
        over = "" if self.temperature == 1 else f"/{t}"
        factor = f"{t}²·" if self.scale_t2 and self.temperature != 1 else ""
        where = "corrupted positions" if self.positions == "masked" else "all real tokens"
        return f"{factor}KL(softmax(z_T{over}) ‖ softmax(z_S{over})), mean over {where}"


TERMS.register("logits", Logits)
