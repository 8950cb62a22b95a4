"""Queries, keys and values themselves, written out head by head (DirectMiniLM, Udagawa et al., 2023)."""

from __future__ import annotations

import pytest
import torch

from harness.methods.losses.qkv import QkvLoss
from harness.methods.terms import Qkv

from .random_models import mean_loss, pair_of_models


@pytest.mark.parametrize("heads", [4, "whole"])
def test_qkv_is_the_mean_squared_error_after_one_matrix_a_head(heads: int | str) -> None:
    teacher, student, batch = pair_of_models()
    loss, term = mean_loss(Qkv(heads=heads), teacher, student, batch)  # type: ignore[arg-type]
    assert isinstance(term, QkvLoss)
    number = 1 if heads == "whole" else int(heads)
    t, s = teacher.qkv[4], student.qkv[2]
    total, positions = 0.0, int(batch.attention_mask.sum())
    for index, name in enumerate(("query", "key", "value")):
        for example, position in batch.attention_mask.nonzero().tolist():
            parts = getattr(s, name)[example, position].chunk(number)
            projected = torch.cat(
                [term.weight[index, head].detach() @ part for head, part in enumerate(parts)]
            )
            total += float((projected - getattr(t, name)[example, position]).square().mean()) / (
                3 * positions
            )
    torch.testing.assert_close(float(loss), total)
