"""BERT (Devlin et al., 2019), and what its descendants share with it."""

from __future__ import annotations

from harness.families.family import (
    EncoderFamily,
    HeadTensors,
    LayerParts,
    Model,
    Module,
    Projections,
    SplitHead,
    Tensor,
)

SPECIAL_TOKENS = {
    "cls_token": "[CLS]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}
"""WordPiece vocabularies, BERT's and DistilBERT's."""


class Bert(EncoderFamily):
    """Post-norm layers, learnt positions, a head of dense map, activation, LayerNorm and decoder."""

    head_tensors = HeadTensors(
        required=(
            frozenset({"cls.predictions.transform.dense.weight"}),
            frozenset(
                {"cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.gamma"}
            ),
            frozenset({"cls.predictions.bias", "cls.predictions.decoder.bias"}),
        ),
        decoder="cls.predictions.decoder.weight",
    )
    special_tokens = SPECIAL_TOKENS
    dropout_fields = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    classifies_first_token = True

    def layers(self, model: Model) -> Module:
        return model.base_model.encoder.layer

    def projections(self, layer: Module) -> Projections:
        attention = self.attention(layer)
        return Projections(attention.query, attention.key, attention.value)

    def attention(self, layer: Module) -> Module:
        return layer.attention.self

    def after_attention(self, layer: Module, mixed: Tensor, states: Tensor) -> Tensor:
        return layer.feed_forward_chunk(layer.attention.output(mixed, states))

    def parts(self, layer: Module) -> LayerParts:
        attended, output = layer.attention.output, layer.output
        return LayerParts(
            attended.dense, attended.LayerNorm, layer.intermediate.dense, output.dense, output.LayerNorm
        )

    def head(self, model: Model) -> SplitHead:
        predictions = model.cls.predictions
        transform, decoder = predictions.transform, predictions.decoder
        return SplitHead(
            transform.dense, transform.transform_act_fn, transform.LayerNorm, decoder.weight, decoder.bias
        )

    def head_modules(self, model: Model) -> dict[str, Module]:
        return {"cls": model.cls}
