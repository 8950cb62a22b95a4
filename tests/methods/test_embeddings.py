"""The embedding outputs, written out position by position (TinyBERT, Jiao et al., 2020)."""

from __future__ import annotations

import torch

from harness.methods.losses.embeddings import EmbeddingsLoss
from harness.methods.terms import Embeddings

from .random_models import mean_loss, pair_of_models


def test_embeddings_are_the_mean_squared_error_of_layer_0() -> None:
    teacher, student, batch = pair_of_models()
    loss, term = mean_loss(Embeddings(), teacher, student, batch)
    assert isinstance(term, EmbeddingsLoss)
    errors = []
    for example, position in batch.attention_mask.nonzero().tolist():
        own = term.projection(student.hidden[0][example, position], 0)
        errors.append(float((own - teacher.hidden[0][example, position]).square().mean()))
    torch.testing.assert_close(float(loss), sum(errors) / len(errors))
