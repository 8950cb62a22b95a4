"""Parameters of the dynamic mappings, whose weights change during training. Imports no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from harness.methods.mappings.mapping import MAPPINGS, DynamicMapping


class Emd(DynamicMapping):
    """Weights are the optimal-transport flow between the two models' layers (BERT-EMD, Li et al., 2020)."""

    name: Literal["emd"] = "emd"
    every: int = Field(
        default=1, ge=1, description="Steps between re-computations of the flow from the batch's layer costs."
    )
    implementation: ClassVar[str | None] = "harness.methods.mappings.dynamic_weights:EmdWeights"

    def formula(self) -> str:
        return "F = argmin Σ_ij F_ij C_ij, F ≥ 0, Σ_j F_ij = 1/L_S, Σ_i F_ij = 1/L_T, C_ij = loss of the pair"


class Greedy(DynamicMapping):
    """The non-decreasing one-to-one assignment of least total cost on layer-normalised states."""

    name: Literal["greedy"] = "greedy"
    every: int = Field(
        default=100, ge=1, description="Steps between re-assignments from the batch's layer costs."
    )
    implementation: ClassVar[str | None] = "harness.methods.mappings.dynamic_weights:GreedyWeights"

    def formula(self) -> str:
        return "φ = argmin Σ_i C_iφ(i), φ(1) ≤ … ≤ φ(L_S), C_ij = mean (LN(H^S_i W) − LN(H^T_j))²"


class Attention(DynamicMapping):
    """Each example attends over all teacher layers by its first token (ALP-KD, Passban et al., 2021)."""

    name: Literal["attention"] = "attention"
    implementation: ClassVar[str | None] = "harness.methods.mappings.dynamic_weights:AttentionWeights"

    def formula(self) -> str:
        return "a_ij = softmax_j⟨cls(H^S_i W), cls(H^T_j)⟩, target Σ_j a_ij H^T_j"


class Random(DynamicMapping):
    """A sorted random choice of L_S teacher layers (RAIL-KD, Haidar et al., 2022): a control."""

    name: Literal["random"] = "random"
    every: int = Field(default=100, ge=1, description="Steps between draws from the trial's own generator.")
    implementation: ClassVar[str | None] = "harness.methods.mappings.dynamic_weights:RandomWeights"

    def formula(self) -> str:
        return "φ(1) < … < φ(L_S) drawn at random from 1..L_T"


for _mapping in (Emd, Greedy, Attention, Random):
    MAPPINGS.register(_mapping.model_fields["name"].default, _mapping)
