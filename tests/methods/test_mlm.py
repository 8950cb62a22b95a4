"""Masked-language modelling, written out position by position (Devlin et al., 2019)."""

from __future__ import annotations

import torch

from harness.methods.terms import Mlm

from .random_models import mean_loss, pair_of_models
from .test_logits import logits


def test_mlm_is_the_mean_cross_entropy_at_corrupted_positions() -> None:
    teacher, student, batch = pair_of_models()
    surprises = [
        -float(logits(student, example, position).softmax(0)[batch.labels[example, position]].log())
        for example, position in batch.masked_positions.nonzero().tolist()
    ]
    loss, _ = mean_loss(Mlm(), teacher, student, batch)
    torch.testing.assert_close(float(loss), sum(surprises) / len(surprises))
