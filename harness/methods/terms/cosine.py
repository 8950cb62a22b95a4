"""The angle between hidden states (DistilBERT)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.methods.mappings import AnyMapping, Last
from harness.methods.term import TERMS
from harness.methods.terms.layer_pairs import PROJECTION_HELP, LayerPairParams, ProjectionKind


class Cosine(LayerPairParams):
    """One minus the cosine between projected student states and teacher states (DistilBERT)."""

    term: Literal["cosine"] = "cosine"
    mapping: AnyMapping = Field(
        default=Last(), description="Which teacher layers each student layer learns from."
    )
    projection: ProjectionKind = Field(default="none", description=PROJECTION_HELP)

    implementation: ClassVar[str] = "harness.methods.losses.cosine:CosineLoss"

    def formula(self) -> str:
        target = "Σ_j a_ij H^T_j" if self.mapping.name == "attention" else "H^T_j"
        return (
            f"{self._over_layers()}(1 − cos({self._student_state()}, {target})), mean over real tokens; "
            f"{self.mapping.formula()}"
        )


TERMS.register("cosine", Cosine)
