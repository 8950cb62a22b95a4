"""Heads for evaluation: one of transformers' own on top of an encoder, and mean-pooled sentence vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.families import family_of
from harness.models.configs import with_dropout
from harness.models.loaded import LoadedModel
from harness.models.random_encoder import seeded


class Classifier(nn.Module):
    """One of transformers' own heads of the model's family on its encoder."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """(n, tokens) ids and mask -> logits or predicted values: (n, outputs) of a head on sequences, (n, tokens,
        outputs) of one on tokens.

        `attention_mask=None` says that no position is padding. `token_type_ids` are ignored where the encoder has none
        (all families but BERT)."""
        segments = (
            {"token_type_ids": token_type_ids} if self.uses_segments and token_type_ids is not None else {}
        )
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **segments).logits
        return logits

    @property
    def uses_segments(self) -> bool:
        """Whether the encoder tells the first text of a pair from the second by token types."""
        return int(getattr(self.model.config, "type_vocab_size", 1)) > 1


def build_classifier(
    loaded: LoadedModel,
    num_labels: int,
    *,
    dropout: float,
    seed: int,
    labels: Sequence[str] = (),
    attention: str = "eager",
    head: str = "AutoModelForSequenceClassification",
) -> Classifier:
    """A head with `num_labels` outputs, a class of transformers, on a copy of `loaded`'s encoder, float32, on CPU.

    The head is drawn from `seed` alone. A BERT pooler that came with the checkpoint is kept, else drawn too. `labels`
    names the outputs in order. `attention` is transformers' implementation (`harness.devices.placement`)."""
    if labels and len(labels) != num_labels:
        raise ValueError(f"{num_labels} outputs need as many names, not {len(labels)}")
    names = list(labels) or [f"LABEL_{i}" for i in range(num_labels)]
    config = with_dropout(loaded.model.config, dropout)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    with seeded(seed):
        model = getattr(transformers, head).from_config(
            config,
            attn_implementation=attention if family_of(config).kernel == "sdpa" else "eager",
            dtype=torch.float32,
        )
    encoder = loaded.model.base_model.state_dict()
    encoder |= {f"pooler.{name}": value for name, value in loaded.pooler.items()}
    gaps = model.base_model.load_state_dict(
        {name: value for name, value in encoder.items() if name in model.base_model.state_dict()},
        strict=False,
    )
    if any(not name.startswith("pooler.") for name in gaps.missing_keys):
        raise ValueError(f"the encoder lacks {gaps.missing_keys}")
    return Classifier(model)


def encode(model: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """(n, tokens) ids and mask -> (n, width) float32 means of the last hidden states over real tokens, no gradient.

    `model` is a `...ForMaskedLM` or an encoder; it runs in the mode and precision it is in."""
    with torch.no_grad():
        states = model.base_model(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state.float()
        weights = attention_mask.to(states.dtype).unsqueeze(-1)
        return (states * weights).sum(1) / weights.sum(1)
