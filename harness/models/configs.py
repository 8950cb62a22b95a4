"""Configs of another size or dropout, whatever the family calls its fields."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from harness.families import FAMILIES, family_of
from harness.shapes import Shape


def resized(config: PreTrainedConfig, shape: Shape) -> PreTrainedConfig:
    """A copy of `config` with the size and layer types of `shape`; family, vocabulary, positions and activation stay."""
    family = family_of(config)
    keys = family.sizes
    size = {
        keys.layers: shape.layers,
        keys.width: shape.width,
        keys.heads: shape.heads,
        keys.ffn: shape.ffn,
        **family.size_fields(shape.layers, shape.width, shape.layer_types),
    }
    return type(config).from_dict({**config.to_dict(), **size})


def with_dropout(config: PreTrainedConfig, dropout: float) -> PreTrainedConfig:
    """A copy of `config` with this dropout, 0..1, everywhere inside the encoder and before a classifier."""
    family = family_of(config)
    fields = (*family.dropout_fields, family.classifier_dropout_field)
    return type(config).from_dict({**config.to_dict(), **dict.fromkeys(fields, dropout)})


def config_of_shape(shape: Shape) -> PreTrainedConfig:
    """A config of this size; positions and token types as in the family's published checkpoints."""
    family = FAMILIES[shape.model_type]
    config: PreTrainedConfig = AutoConfig.for_model(
        shape.model_type, **{family.sizes.vocabulary: shape.vocabulary}
    )
    values: dict[str, Any] = {"max_position_embeddings": family.positions}
    if family.token_types is not None:
        values["type_vocab_size"] = family.token_types
    if (config.pad_token_id or 0) >= shape.vocabulary:
        values["pad_token_id"] = 0
    return resized(type(config).from_dict({**config.to_dict(), **values}), shape)
