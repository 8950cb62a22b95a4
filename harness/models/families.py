"""What tells the four families apart inside transformers: where their layers, projections and masked-LM head
stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from harness.shapes import FAMILIES


@dataclass(frozen=True)
class Projections:
    """The three linear maps of one attention layer."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear


class Family(ABC):
    """Access to the parts of one family's `...ForMaskedLM` model; holds no state."""

    dropout_fields: ClassVar[tuple[str, ...]]
    """Config fields that set dropout inside the encoder."""
    positions: ClassVar[int] = 512
    """Rows of the position embedding in the family's published checkpoints."""
    token_types: ClassVar[int | None] = 2
    """Rows of the token type embedding there; None where the family has none."""
    classifier_dropout_field: ClassVar[str] = "classifier_dropout"
    """Config field that sets dropout before the classifier."""

    @abstractmethod
    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        """The Transformer layers, first to last."""

    @abstractmethod
    def projections(self, layer: nn.Module) -> Projections:
        """Query, key and value maps of one layer."""

    @abstractmethod
    def attention(self, layer: nn.Module) -> Any:
        """The module of one layer that holds the three maps, its head size, scaling and dropout."""

    @abstractmethod
    def after_attention(self, layer: nn.Module, mixed: Tensor, states: Tensor) -> Tensor:
        """The rest of a layer: what attention made for some positions and the states that came in there, both
        (n, positions, width) -> their states above."""

    @abstractmethod
    def head(self, model: PreTrainedModel) -> SplitHead:
        """The masked-LM head split at its decoder."""

    @abstractmethod
    def head_modules(self, model: PreTrainedModel) -> dict[str, nn.Module]:
        """Attribute path -> module of everything that belongs to the masked-LM head."""

    def embeddings(self, model: PreTrainedModel) -> nn.Module:
        """Word, position and token type embeddings with their LayerNorm."""
        module: nn.Module = _parts(model).base_model.embeddings
        return module


@dataclass
class SplitHead:
    """A masked-LM head split at its decoder (`harness.methods.loss.MlmHead`); the model owns the
    parameters."""

    dense: nn.Module
    activation: Callable[[Tensor], Tensor]
    norm: nn.Module
    weight: Tensor
    """(vocabulary, width)"""
    bias: Tensor
    """(vocabulary,)"""

    def transform(self, hidden: Tensor) -> Tensor:
        """(n, width) last-layer states -> (n, width) inputs of the decoder matrix."""
        states: Tensor = self.norm(self.activation(self.dense(hidden)))
        return states


class BertFamily(Family):
    """bert."""

    dropout_fields = ("hidden_dropout_prob", "attention_probs_dropout_prob")

    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        modules: nn.ModuleList = _parts(model).base_model.encoder.layer
        return modules

    def projections(self, layer: nn.Module) -> Projections:
        attention = self.attention(layer)
        return Projections(attention.query, attention.key, attention.value)

    def attention(self, layer: nn.Module) -> Any:
        return _parts(layer).attention.self

    def after_attention(self, layer: nn.Module, mixed: Tensor, states: Tensor) -> Tensor:
        parts = _parts(layer)
        above: Tensor = parts.feed_forward_chunk(parts.attention.output(mixed, states))
        return above

    def head(self, model: PreTrainedModel) -> SplitHead:
        predictions = _parts(model).cls.predictions
        transform = predictions.transform
        decoder = predictions.decoder
        return SplitHead(
            transform.dense, transform.transform_act_fn, transform.LayerNorm, decoder.weight, decoder.bias
        )

    def head_modules(self, model: PreTrainedModel) -> dict[str, nn.Module]:
        return {"cls": _parts(model).cls}


class RobertaFamily(BertFamily):
    """roberta and xlm-roberta: BERT's layers, another head; positions count from the padding index."""

    positions = 514
    token_types = 1

    def head(self, model: PreTrainedModel) -> SplitHead:
        head = _parts(model).lm_head
        decoder = head.decoder
        return SplitHead(head.dense, nn.functional.gelu, head.layer_norm, decoder.weight, decoder.bias)

    def head_modules(self, model: PreTrainedModel) -> dict[str, nn.Module]:
        return {"lm_head": _parts(model).lm_head}


class DistilBertFamily(Family):
    """distilbert."""

    dropout_fields = ("dropout", "attention_dropout")
    token_types = None
    classifier_dropout_field = "seq_classif_dropout"

    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        modules: nn.ModuleList = _parts(model).base_model.transformer.layer
        return modules

    def projections(self, layer: nn.Module) -> Projections:
        attention = self.attention(layer)
        return Projections(attention.q_lin, attention.k_lin, attention.v_lin)

    def attention(self, layer: nn.Module) -> Any:
        return _parts(layer).attention

    def after_attention(self, layer: nn.Module, mixed: Tensor, states: Tensor) -> Tensor:
        parts = _parts(layer)
        attended = parts.sa_layer_norm(parts.attention.out_lin(mixed) + states)
        above: Tensor = parts.output_layer_norm(parts.ffn(attended) + attended)
        return above

    def head(self, model: PreTrainedModel) -> SplitHead:
        m = _parts(model)
        decoder = m.vocab_projector
        return SplitHead(m.vocab_transform, m.activation, m.vocab_layer_norm, decoder.weight, decoder.bias)

    def head_modules(self, model: PreTrainedModel) -> dict[str, nn.Module]:
        m = _parts(model)
        names = ("vocab_transform", "vocab_layer_norm", "vocab_projector")
        return {name: getattr(m, name) for name in names}


_FAMILIES: dict[str, Family] = {
    "bert": BertFamily(),
    "roberta": RobertaFamily(),
    "xlm-roberta": RobertaFamily(),
    "distilbert": DistilBertFamily(),
}


def family_of(model_or_config: PreTrainedModel | PreTrainedConfig) -> Family:
    """The family of a model or config whose shape has been read (`shapes.read_shape` refuses all others)."""
    config: Any = getattr(model_or_config, "config", model_or_config)
    return _FAMILIES[config.model_type]


def _parts(module: nn.Module) -> Any:
    """The module without static types: transformers sets its submodules at run time."""
    return module


def resized(config: PreTrainedConfig, *, layers: int, width: int, heads: int, ffn: int) -> PreTrainedConfig:
    """A copy of `config` with another size; family, vocabulary, positions and activation stay."""
    keys = FAMILIES[config.model_type]
    values = config.to_dict()
    values.update({keys.layers: layers, keys.width: width, keys.heads: heads, keys.ffn: ffn})
    return type(config).from_dict(values)


def with_dropout(config: PreTrainedConfig, dropout: float) -> PreTrainedConfig:
    """A copy of `config` with this dropout everywhere inside the encoder and before a classifier. Range
    0..1."""
    family = family_of(config)
    fields = (*family.dropout_fields, family.classifier_dropout_field)
    return type(config).from_dict({**config.to_dict(), **dict.fromkeys(fields, dropout)})
