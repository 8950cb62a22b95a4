"""RoBERTa (Liu et al., 2019) and XLM-R (Conneau et al., 2020): BERT's layers, another head and other positions."""

from __future__ import annotations

from typing import ClassVar

from harness.families.bert import Bert
from harness.families.family import HeadTensors, Model, Module, SplitHead
from harness.registry import import_name


class Roberta(Bert):
    """Positions are counted from the padding id, and the head always uses GELU, whatever the layers use."""

    head_tensors = HeadTensors(
        required=(
            frozenset({"lm_head.dense.weight"}),
            frozenset({"lm_head.layer_norm.weight"}),
            frozenset({"lm_head.bias", "lm_head.decoder.bias"}),
        ),
        decoder="lm_head.decoder.weight",
    )
    special_tokens = {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    positions = 514
    positions_follow_padding = True
    token_types: ClassVar[int | None] = 1

    def head(self, model: Model) -> SplitHead:
        head, decoder = model.lm_head, model.lm_head.decoder
        return SplitHead(
            head.dense, import_name("torch.nn.functional:gelu"), head.layer_norm, decoder.weight, decoder.bias
        )

    def head_modules(self, model: Model) -> dict[str, Module]:
        return {"lm_head": model.lm_head}
