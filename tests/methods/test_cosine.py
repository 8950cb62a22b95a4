"""One minus the cosine, written out position by position (DistilBERT, Sanh et al., 2019)."""

from __future__ import annotations

import torch

from harness.methods.losses.cosine import CosineLoss
from harness.methods.terms import Cosine

from .random_models import mean_loss, pair_of_models


def test_cosine_is_one_minus_the_cosine_of_the_last_layers_states() -> None:
    teacher, student, batch = pair_of_models()
    loss, term = mean_loss(Cosine(projection="linear"), teacher, student, batch)
    assert isinstance(term, CosineLoss)
    angles = []
    for example, position in batch.attention_mask.nonzero().tolist():
        own = term.projection(student.hidden[2][example, position], 2)
        other = teacher.hidden[4][example, position]
        angles.append(1 - float(own @ other / (own.norm() * other.norm())))
    torch.testing.assert_close(float(loss), sum(angles) / len(angles))
