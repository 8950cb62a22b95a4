"""ELECTRA (Clark et al., 2020): BERT's layers; the masked-LM head belongs to the generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.families.bert import Bert
from harness.families.family import AttentionType, HeadTensors, Model, Module, SplitHead


class Electra(Bert):
    """A discriminator, which is what people fine-tune, ships without a masked-LM head; preparing it trains one."""

    head_tensors = HeadTensors(
        required=(
            frozenset({"generator_predictions.dense.weight"}),
            frozenset({"generator_predictions.LayerNorm.weight", "generator_predictions.LayerNorm.gamma"}),
            frozenset({"generator_lm_head.bias"}),
        ),
        decoder="generator_lm_head.weight",
    )
    has_pooler = False

    def refusal(self, config: Mapping[str, Any]) -> str | None:
        narrow, width = config.get("embedding_size"), config.get(self.sizes.width)
        if narrow != width:
            return (
                f"embeddings of another width than the states (embedding_size {narrow}, hidden_size {width}) are not "
                "supported; base and large discriminators have one width"
            )
        return super().refusal(config)

    def size_fields(self, layers: int, width: int, types: Sequence[AttentionType]) -> dict[str, Any]:
        return {"embedding_size": width}

    def head(self, model: Model) -> SplitHead:
        head, decoder = model.generator_predictions, model.generator_lm_head
        return SplitHead(head.dense, head.activation, head.LayerNorm, decoder.weight, decoder.bias)

    def head_modules(self, model: Model) -> dict[str, Module]:
        names = ("generator_predictions", "generator_lm_head")
        return {name: getattr(model, name) for name in names}
