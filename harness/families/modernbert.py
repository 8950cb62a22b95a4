"""ModernBERT (Warner et al., 2024) and its children: Ettin, mmBERT, Granite embedding R2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.families.bert import SPECIAL_TOKENS
from harness.families.family import (
    AttentionType,
    EncoderFamily,
    HeadTensors,
    LayerInputs,
    LayerParts,
    MapRows,
    Model,
    Module,
    Projections,
    SplitHead,
    Tensor,
)
from harness.registry import import_name

USUAL_PERIOD = 3
"""Every third layer attends to all positions, from the first on."""
USUAL_WINDOW = 128
"""`local_attention`: positions of a sliding layer's window, both sides together."""


class ModernBert(EncoderFamily):
    """Pre-norm layers with one fused map for query, key and value, RoPE, a gated feed-forward block; most layers see a
    window."""

    head_tensors = HeadTensors(
        required=(
            frozenset({"head.dense.weight"}),
            frozenset({"head.norm.weight"}),
            frozenset({"decoder.bias"}),
        ),
        decoder="decoder.weight",
    )
    special_tokens = SPECIAL_TOKENS
    dropout_fields = ("attention_dropout", "embedding_dropout", "mlp_dropout")
    positions = 8192
    token_types = None
    has_pooler = False
    gated = True
    rotary = True

    def refusal(self, config: Mapping[str, Any]) -> str | None:
        if config.get("decoder_bias") is False:
            return "its masked-LM head has no bias (decoder_bias: false); one with a bias is supported"
        return super().refusal(config)

    def layer_types(self, config: Mapping[str, Any]) -> tuple[AttentionType, ...]:
        written = config.get("layer_types")
        if written is not None:
            return tuple("sliding" if one == "sliding_attention" else "full" for one in written)
        period = config.get("global_attn_every_n_layers", USUAL_PERIOD)
        return tuple("sliding" if i % period else "full" for i in range(config[self.sizes.layers]))

    def window(self, config: Mapping[str, Any]) -> int | None:
        return int(config.get("local_attention", USUAL_WINDOW)) // 2

    def size_fields(self, layers: int, width: int, types: Sequence[AttentionType]) -> dict[str, Any]:
        return {"layer_types": [f"{one}_attention" for one in types or ("full",) * layers]}

    def layers(self, model: Model) -> Module:
        return model.base_model.layers

    def projections(self, layer: Module) -> Projections:
        return Projections.of_fused(layer.attn.Wqkv)

    def attention_input(self, layer: Module, states: Tensor) -> Tensor:
        return layer.attn_norm(states)

    def layer_inputs(
        self, model: Model, states: Tensor, attention_mask: Tensor | None
    ) -> Sequence[LayerInputs]:
        masks = {
            "full": "transformers.masking_utils:create_bidirectional_mask",
            "sliding": "transformers.masking_utils:create_bidirectional_sliding_window_mask",
        }
        types = self.layer_types(model.config.to_dict())
        inputs = {
            one: {
                "attention_mask": import_name(masks[one])(model.config, states, attention_mask),
                "position_embeddings": self._angles(model, one, states),
            }
            for one in set(types)
        }
        return [inputs[one] for one in types]

    def final_norm(self, model: Model) -> Module | None:
        return model.base_model.final_norm

    def rotate(self, model: Model, layer: int, projected: Tensor) -> Tensor:
        kind = self.layer_types(model.config.to_dict())[layer - 1]
        cosines, sines = self._angles(model, kind, projected)
        return rotated(projected, cosines, sines)

    def _angles(self, model: Model, kind: AttentionType, states: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of positions 0, 1, ...: (1, tokens, head size) each, of the type of `states`."""
        places = import_name("torch:arange")(states.shape[1], device=states.device)[None]
        return model.base_model.rotary_emb(states, places, f"{kind}_attention")

    def parts(self, layer: Module) -> LayerParts:
        into, size = layer.mlp.Wi, layer.mlp.Wo.in_features
        return LayerParts(
            layer.attn.Wo,
            layer.attn_norm,
            MapRows(into, 0, size),
            layer.mlp.Wo,
            layer.mlp_norm,
            gate=MapRows(into, size, 2 * size),
        )

    def head(self, model: Model) -> SplitHead:
        head, decoder = model.head, model.decoder
        return SplitHead(head.dense, head.act, head.norm, decoder.weight, decoder.bias)

    def head_modules(self, model: Model) -> dict[str, Module]:
        return {"head": model.head, "decoder": model.decoder}


def rotated(projected: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """(n, tokens, width) rotated head by head: coordinate k of a head with coordinate k + half the head."""
    heads = projected.unflatten(-1, (-1, cosines.shape[-1]))
    low, high = heads.chunk(2, dim=-1)
    turned = import_name("torch:cat")((-high, low), dim=-1)
    return (heads * cosines.unsqueeze(-2) + turned * sines.unsqueeze(-2)).flatten(-2)
