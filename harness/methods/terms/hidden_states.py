"""Terms on hidden states: outputs of layers, the student's projected to the teacher's width."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.methods.mappings import MAPPINGS, AnyMapping, MappingParams, Uniform
from harness.methods.term import TERMS
from harness.methods.terms.layer_pairs import PROJECTION_HELP, LayerPairParams, ProjectionKind


def _is_dynamic(mapping: Any) -> bool:
    """Whether a mapping, as written or as read, is a dynamic one."""
    if isinstance(mapping, MappingParams):
        return mapping.dynamic
    name = mapping.get("name") if isinstance(mapping, dict) else mapping
    return isinstance(name, str) and name in MAPPINGS and MAPPINGS[name].dynamic


class HiddenStates(LayerPairParams):
    """Mean squared error between projected student states and teacher states (HS)."""

    term: Literal["hidden_states"] = "hidden_states"
    mapping: AnyMapping = Field(
        default=Uniform(), description="Which teacher layers each student layer learns from."
    )
    projection: ProjectionKind = Field(
        default="linear", description=PROJECTION_HELP + " Default under a dynamic mapping: `shared_linear`."
    )
    tokens: Literal["all", "cls"] = Field(
        default="all", description="Compare all real tokens, or each example's first one ([CLS])."
    )
    normalize: Literal["none", "l2", "layer_norm"] = Field(
        default="none",
        description=(
            "Bring each projected student state and each teacher state to unit length (`l2`, PKD) or to "
            "zero mean and unit variance (`layer_norm`) before they are compared."
        ),
    )

    implementation: ClassVar[str] = "harness.methods.losses.hidden_states:HiddenStatesLoss"

    @model_validator(mode="before")
    @classmethod
    def _share_under_dynamic_mappings(cls, data: Any) -> Any:
        if isinstance(data, dict) and _is_dynamic(data.get("mapping")):
            return {"projection": "shared_linear", **data}
        return data

    def formula(self) -> str:
        name = {"none": "", "l2": "unit", "layer_norm": "LN"}[self.normalize]
        mark = (lambda state: f"{name}({state})") if name else (lambda state: state)
        target = "Σ_j a_ij H^T_j" if self.mapping.name == "attention" else "H^T_j"
        where = "real tokens" if self.tokens == "all" else "[CLS]"
        return (
            f"{self._over_layers()}mean(({mark(self._student_state())} − {mark(target)})²) over {where} and "
            f"width; {self.mapping.formula()}"
        )


TERMS.register("hidden_states", HiddenStates)
