"""Relations, written out row by row (MiniLMv2, Wang et al., 2021, equations 4 to 6)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.methods.terms import Relations

from .random_models import mean_loss, pair_of_models

HEADS = 4


def row(queries: Tensor, keys: Tensor, head: int, position: int, length: int) -> Tensor:
    """softmax(x · yᵀ / √d_r) of one position in one relation head, over real positions."""
    width = queries.shape[-1] // HEADS
    part = slice(head * width, (head + 1) * width)
    scores = [
        float(queries[position, part] @ keys[other, part]) / math.sqrt(width) for other in range(length)
    ]
    return torch.tensor(scores, dtype=torch.float64).softmax(0)


def test_relations_are_the_mean_kl_of_every_row_head_and_pair() -> None:
    teacher, student, batch = pair_of_models()
    params = Relations(heads=HEADS, pairs=("qq", "kv"), weights=(0.5, 2.0), teacher_layer=3)
    expected = 0.0
    for example, length in enumerate(batch.attention_mask.sum(1).tolist()):
        t, s = teacher.qkv[3], student.qkv[2]
        for weight, (x, y) in zip(params.weights, (("query", "query"), ("key", "value")), strict=True):
            for head in range(HEADS):
                for position in range(length):
                    p = row(getattr(t, x)[example], getattr(t, y)[example], head, position, length)
                    q = row(getattr(s, x)[example], getattr(s, y)[example], head, position, length)
                    expected += weight * float((p * (p / q).log()).sum()) / (HEADS * length * 3)
    loss, _ = mean_loss(params, teacher, student, batch)
    torch.testing.assert_close(float(loss), expected)
