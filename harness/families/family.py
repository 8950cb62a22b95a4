"""What the harness needs to know about a family of encoders: one class, with one instance per `model_type`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from harness.registry import Registry, import_name

Module: TypeAlias = Any
"""A `torch.nn.Module`. Its submodules are set by transformers at run time, and importing torch's types here would load
torch wherever a config is read."""
Model: TypeAlias = Any
"""A `transformers.PreTrainedModel`: the encoder, or one of its `...For...` classes."""
Config: TypeAlias = Any
"""A `transformers.PreTrainedConfig`."""
Tensor: TypeAlias = Any
"""A `torch.Tensor`."""
LayerInputs: TypeAlias = Mapping[str, Any]
"""Arguments of one layer beside the states below it: a mask, positions."""
AttentionType: TypeAlias = Literal["full", "sliding"]
"""Whether a layer's positions attend to all others, or only to those within a window."""


@dataclass(frozen=True)
class SizeKeys:
    """Keys of config.json that state a model's size."""

    layers: str = "num_hidden_layers"
    width: str = "hidden_size"
    heads: str = "num_attention_heads"
    ffn: str = "intermediate_size"
    vocabulary: str = "vocab_size"


@dataclass(frozen=True)
class HeadTensors:
    """Names of a masked-LM head's tensors in a checkpoint."""

    required: tuple[frozenset[str], ...]
    """Tensors besides the decoder matrix: of each set of spellings, one must be in the files."""
    decoder: str
    """The decoder matrix; absent from the files where it is tied to the word embedding."""


@dataclass(frozen=True)
class MapRows:
    """Some rows of a linear map, as a map of their own: what is written to its weights is written to the whole."""

    whole: Module
    start: int
    stop: int

    @property
    def weight(self) -> Tensor:
        """(rows, in), a view."""
        return self.whole.weight[self.start : self.stop]

    @property
    def bias(self) -> Tensor | None:
        """(rows,), a view; None where the whole has none."""
        return None if self.whole.bias is None else self.whole.bias[self.start : self.stop]

    def __call__(self, states: Tensor) -> Tensor:
        """(..., in) -> (..., rows)."""
        return import_name("torch.nn.functional:linear")(states, self.weight, self.bias)


@dataclass(frozen=True)
class Projections:
    """The linear maps of one attention layer, each (..., width) -> (..., width)."""

    query: Module | MapRows
    key: Module | MapRows
    value: Module | MapRows
    fused: Module | None = None
    """The one module that computes all three side by side, of which they are rows; None where they are apart."""

    @classmethod
    def of_fused(cls, fused: Module) -> Projections:
        """Thirds of one map, (..., width) -> (..., 3 · width)."""
        third = fused.out_features // 3
        query, key, value = (MapRows(fused, third * part, third * (part + 1)) for part in range(3))
        return cls(query, key, value, fused)

    @property
    def modules(self) -> tuple[Module, ...]:
        """What runs: three maps, or the fused one."""
        return (self.query, self.key, self.value) if self.fused is None else (self.fused,)

    def apart(self, outputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Outputs of `modules` -> queries, keys, values."""
        return outputs if self.fused is None else outputs[0].chunk(3, dim=-1)


@dataclass(frozen=True)
class LayerParts:
    """What one Transformer layer has besides its query, key and value maps."""

    attention_output: Module
    """Linear map of all heads' values, (..., width) -> (..., width)."""
    attention_norm: Module
    """LayerNorm after attention, or before it where layers are pre-norm; a module without weights where there is none."""
    inner: Module | MapRows
    """Linear map into the feed-forward block, (..., width) -> (..., ffn)."""
    outer: Module
    """Linear map out of it, (..., ffn) -> (..., width)."""
    norm: Module
    """LayerNorm after the feed-forward block, or before it."""
    gate: Module | MapRows | None = None
    """Second map into a gated feed-forward block, whose output the activated one is multiplied with."""


@dataclass
class SplitHead:
    """A masked-LM head split before its decoder (`harness.methods.loss.MlmHead`); the model owns the parameters."""

    dense: Module
    activation: Callable[[Tensor], Tensor]
    norm: Module
    weight: Tensor
    """(vocabulary, width)"""
    bias: Tensor
    """(vocabulary,)"""

    def transform(self, hidden: Tensor) -> Tensor:
        """(n, width) states of the last layer -> (n, width) inputs of the decoder matrix."""
        return self.norm(self.activation(self.dense(hidden)))


class EncoderFamily(ABC):
    """One family's config and the parts of its models; holds no state."""

    sizes: ClassVar[SizeKeys] = SizeKeys()
    head_tensors: ClassVar[HeadTensors]
    special_tokens: ClassVar[Mapping[str, str]]
    """Role (`cls_token`, `pad_token`, ...) -> piece, for a tokenizer.json without further files."""
    dropout_fields: ClassVar[tuple[str, ...]]
    """Config fields that set dropout inside the encoder."""
    classifier_dropout_field: ClassVar[str] = "classifier_dropout"
    """Config field that sets dropout before the classifier."""
    positions: ClassVar[int] = 512
    """MapRows of the position embedding in the family's published checkpoints."""
    positions_follow_padding: ClassVar[bool] = False
    """Whether positions are counted from the padding id + 1, which uses up as many rows of the position embedding."""
    token_types: ClassVar[int | None] = 2
    """MapRows of the token type embedding in the published checkpoints; None for a family without one."""
    has_pooler: ClassVar[bool] = True
    """Whether the bare encoder may end in a pooler, which `...ForMaskedLM` lacks."""
    classifies_first_token: ClassVar[bool] = False
    """Whether the classification head reads only the last state of the first token;
    needs `attention` and `after_attention`."""
    gated: ClassVar[bool] = False
    """Whether feed-forward blocks have three maps (GLU) instead of two."""
    rotary: ClassVar[bool] = False
    """Whether positions enter by rotating queries and keys (RoPE, Su et al., 2021); needs `rotate`."""
    added_to_scores: ClassVar[str | None] = None
    """What attention adds to Q·Kᵀ for each head, so that its scores cannot be rebuilt from queries and keys; None where
    nothing."""
    kernel: ClassVar[Literal["sdpa", "eager"]] = "sdpa"
    """transformers' attention implementation where nothing speaks against it; `eager` where the family has no other."""

    def refusal(self, config: Mapping[str, Any]) -> str | None:
        """Why hidden states of a model with this config.json cannot be read; None if they can."""
        if config.get("is_decoder"):
            return "the model is a decoder (is_decoder: true); an encoder is needed"
        kind = config.get("position_embedding_type", "absolute")
        if kind != "absolute":
            return f"position_embedding_type {kind!r} is not supported; absolute is"
        return None

    def longest_input(self, config: Config) -> int:
        """Maximum input length of a model of this config, in tokens."""
        reserved = config.pad_token_id + 1 if self.positions_follow_padding else 0
        return int(config.max_position_embeddings - reserved)

    def layer_types(self, config: Mapping[str, Any]) -> tuple[AttentionType, ...]:
        """Attention of each layer, first to last, of a model with this config.json; empty where all are full."""
        return ()

    def window(self, config: Mapping[str, Any]) -> int | None:
        """Positions to either side that a sliding layer sees, itself not counted; None where no layer slides."""
        return None

    def size_fields(self, layers: int, width: int, types: Sequence[AttentionType]) -> dict[str, Any]:
        """The config's fields that follow from a model's size, besides `sizes`; without `types` all layers are full."""
        return {}

    def embeddings(self, model: Model) -> Module:
        """Word, position and token type embeddings with their normalisation."""
        return model.base_model.embeddings

    def embed(self, model: Model, input_ids: Tensor) -> Tensor:
        """(n, tokens) ids -> (n, tokens, width) states below the first layer."""
        return self.embeddings(model)(input_ids=input_ids)

    def layer_inputs(
        self, model: Model, states: Tensor, attention_mask: Tensor | None
    ) -> Sequence[LayerInputs]:
        """What each layer is called with, given the embedding output and the mask of real positions (n, tokens);
        None says that all are."""
        mask = None if attention_mask is None else _bidirectional_mask(model, states, attention_mask)
        return [{"attention_mask": mask}] * len(self.layers(model))

    def run_layer(self, layer: Module, states: Tensor, inputs: LayerInputs) -> Tensor:
        """The states above one layer, (n, tokens, width) both."""
        return layer(states, **inputs)

    def final_norm(self, model: Model) -> Module | None:
        """What normalises the last layer's states before anything reads them; None in families whose layers do."""
        return None

    def shared(self, model: Model) -> Sequence[Module]:
        """What all layers share: modules that belong to no layer, and are copied to a student of the same heads."""
        return ()

    def rotate(self, model: Model, layer: int, projected: Tensor) -> Tensor:
        """Queries or keys of layer `layer` (1-based) before their rotation -> after it, (n, tokens, width) both."""
        raise NotImplementedError(f"{type(self).__name__} does not rotate")

    @abstractmethod
    def layers(self, model: Model) -> Module:
        """The Transformer layers, first to last, as a `ModuleList`."""

    @abstractmethod
    def projections(self, layer: Module) -> Projections:
        """Query, key and value maps of one layer."""

    def attention_input(self, layer: Module, states: Tensor) -> Tensor:
        """The input of a layer's three maps, given the states below it: the states themselves, unless the layer
        normalises them first."""
        return states

    def attention(self, layer: Module) -> Module:
        """The module of one layer that has `attention_head_size`, `scaling` and `dropout`."""
        raise NotImplementedError(f"{type(self).__name__} does not say where a layer's attention is")

    def after_attention(self, layer: Module, mixed: Tensor, states: Tensor) -> Tensor:
        """The rest of a layer: attention's output and the states below, both (n, positions, width)
        -> the states above."""
        raise NotImplementedError(f"{type(self).__name__} does not say what follows a layer's attention")

    def parts(self, layer: Module) -> LayerParts:
        """The rest of a layer, by its parts; what a narrower student's layers are projected from."""
        raise NotImplementedError(f"{type(self).__name__} does not say what a layer's parts are")

    @property
    def projects_layers(self) -> bool:
        """Whether layers of this family can be projected: it says what their `parts` are."""
        return type(self).parts is not EncoderFamily.parts

    @abstractmethod
    def head(self, model: Model) -> SplitHead:
        """The masked-LM head, split before its decoder."""

    @abstractmethod
    def head_modules(self, model: Model) -> dict[str, Module]:
        """Attribute path -> module of everything that belongs to the masked-LM head."""


def _bidirectional_mask(model: Model, states: Tensor, attention_mask: Tensor) -> Tensor | None:
    make = import_name("transformers.masking_utils:create_bidirectional_mask")
    return make(model.config, states, attention_mask)


FAMILIES: Registry[EncoderFamily] = Registry("family of encoders")
"""transformers' `model_type` -> its family."""


def family_of(model_or_config: Model | Config) -> EncoderFamily:
    """The family of a model or config; InputError if its `model_type` has none."""
    config: Config = getattr(model_or_config, "config", model_or_config)
    return FAMILIES[config.model_type]
