"""Configs of another size or dropout, whatever the family calls its fields."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from harness.families import FAMILIES, family_of
from harness.shapes import Shape


def resized(config: PreTrainedConfig, *, layers: int, width: int, heads: int, ffn: int) -> PreTrainedConfig:
    """A copy of `config` with another size; family, vocabulary, positions and activation stay."""
    keys = family_of(config).sizes
    size = {keys.layers: layers, keys.width: width, keys.heads: heads, keys.ffn: ffn}
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
    config = type(config).from_dict({**config.to_dict(), **values})
    return resized(config, layers=shape.layers, width=shape.width, heads=shape.heads, ffn=shape.ffn)
