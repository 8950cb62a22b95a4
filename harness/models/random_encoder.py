"""Encoders of random weights from a config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import (
    AutoModelForMaskedLM,
    PreTrainedConfig,
    PreTrainedModel,
)

from harness.families import family_of


def build_encoder(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    """`...ForMaskedLM` of `config` with transformers' own random initialisation drawn from `seed`."""
    with seeded(seed):
        model: PreTrainedModel = AutoModelForMaskedLM.from_config(
            config, attn_implementation=family_of(config).kernel, dtype=torch.float32
        )
    return model


HEAD_SEED = 0
"""Seed of a masked-LM head that a checkpoint does not hold."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """While open, torch's CPU generator starts from `seed`; afterwards it has its old state again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
