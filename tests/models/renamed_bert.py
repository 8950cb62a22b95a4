"""A family that the harness does not ship: BERT under another `model_type`, its size spelled in other words."""

from __future__ import annotations

from typing import Any

from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
)

from harness.families import Bert, SizeKeys

MODEL_TYPE = "renamed-bert"


class RenamedConfig(BertConfig):
    """BERT's config; `depth` and `breadth` are what the file calls layers and width."""

    model_type = MODEL_TYPE

    def __init__(self, depth: int = 12, breadth: int = 768, **fields: Any) -> None:
        fields.pop("num_hidden_layers", None)
        fields.pop("hidden_size", None)
        super().__init__(num_hidden_layers=depth, hidden_size=breadth, **fields)
        self.depth, self.breadth = depth, breadth


class RenamedModel(BertModel):
    config_class = RenamedConfig


class RenamedForMaskedLM(BertForMaskedLM):
    config_class = RenamedConfig


class RenamedForSequenceClassification(BertForSequenceClassification):
    config_class = RenamedConfig


class RenamedBert(Bert):
    """Says only where it differs: how a size is spelled, and that its classifier is not known to read one token."""

    sizes = SizeKeys(layers="depth", width="breadth")
    special_tokens = {
        "cls_token": "(",
        "sep_token": ")",
        "pad_token": "_",
        "unk_token": "?",
        "mask_token": "*",
    }
    classifies_first_token = False
