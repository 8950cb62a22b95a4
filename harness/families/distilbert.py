"""DistilBERT (Sanh et al., 2019): BERT's layers under other names, without token types and pooler."""

from __future__ import annotations

from harness.families.bert import SPECIAL_TOKENS
from harness.families.family import (
    EncoderFamily,
    HeadTensors,
    LayerParts,
    Model,
    Module,
    Projections,
    SizeKeys,
    SplitHead,
    Tensor,
)


class DistilBert(EncoderFamily):
    """Post-norm layers, learnt positions; the head's parts are attributes of the model itself."""

    sizes = SizeKeys(layers="n_layers", width="dim", heads="n_heads", ffn="hidden_dim")
    head_tensors = HeadTensors(
        required=(
            frozenset({"vocab_transform.weight"}),
            frozenset({"vocab_layer_norm.weight"}),
            frozenset({"vocab_projector.bias"}),
        ),
        decoder="vocab_projector.weight",
    )
    special_tokens = SPECIAL_TOKENS
    dropout_fields = ("dropout", "attention_dropout")
    classifier_dropout_field = "seq_classif_dropout"
    token_types = None
    has_pooler = False
    classifies_first_token = True

    def layers(self, model: Model) -> Module:
        return model.base_model.transformer.layer

    def projections(self, layer: Module) -> Projections:
        attention = self.attention(layer)
        return Projections(attention.q_lin, attention.k_lin, attention.v_lin)

    def attention(self, layer: Module) -> Module:
        return layer.attention

    def after_attention(self, layer: Module, mixed: Tensor, states: Tensor) -> Tensor:
        attended = layer.sa_layer_norm(layer.attention.out_lin(mixed) + states)
        return layer.output_layer_norm(layer.ffn(attended) + attended)

    def parts(self, layer: Module) -> LayerParts:
        return LayerParts(
            layer.attention.out_lin,
            layer.sa_layer_norm,
            layer.ffn.lin1,
            layer.ffn.lin2,
            layer.output_layer_norm,
        )

    def head(self, model: Model) -> SplitHead:
        decoder = model.vocab_projector
        return SplitHead(
            model.vocab_transform, model.activation, model.vocab_layer_norm, decoder.weight, decoder.bias
        )

    def head_modules(self, model: Model) -> dict[str, Module]:
        names = ("vocab_transform", "vocab_layer_norm", "vocab_projector")
        return {name: getattr(model, name) for name in names}
