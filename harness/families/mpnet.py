"""MPNet (Song et al., 2020): BERT's layers, which share a bias of relative positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness.families.family import LayerInputs, LayerParts, Model, Module, Projections, Tensor
from harness.families.roberta import Roberta


class MpNet(Roberta):
    """RoBERTa's head and positions, no token types. Each head of every layer adds its own bias of relative positions to
    its scores, and transformers computes them in its own code."""

    special_tokens = {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "[UNK]",
        "mask_token": "<mask>",
    }
    token_types: ClassVar[int | None] = None
    classifies_first_token = False
    added_to_scores = "a bias of relative positions"
    kernel = "eager"

    def refusal(self, config: Mapping[str, Any]) -> str | None:
        padding = config.get("pad_token_id", 1)
        if padding != 1:
            return (
                f"MPNet counts positions from the padding id 1; its config.json says pad_token_id {padding}"
            )
        return super().refusal(config)

    def projections(self, layer: Module) -> Projections:
        attention = layer.attention.attn
        return Projections(attention.q, attention.k, attention.v)

    def layer_inputs(
        self, model: Model, states: Tensor, attention_mask: Tensor | None
    ) -> Sequence[LayerInputs]:
        bias = {"position_bias": model.base_model.encoder.compute_position_bias(states)}
        return [{**inputs, **bias} for inputs in super().layer_inputs(model, states, attention_mask)]

    def run_layer(self, layer: Module, states: Tensor, inputs: LayerInputs) -> Tensor:
        return layer(states, **inputs)[0]

    def shared(self, model: Model) -> Sequence[Module]:
        return [model.base_model.encoder.relative_attention_bias]

    def parts(self, layer: Module) -> LayerParts:
        attention, output = layer.attention, layer.output
        return LayerParts(
            attention.attn.o, attention.LayerNorm, layer.intermediate.dense, output.dense, output.LayerNorm
        )
