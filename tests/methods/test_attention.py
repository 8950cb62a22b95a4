"""Attention rebuilt from queries and keys, written out row by row (MiniLM, Wang et al., 2020; TinyBERT, 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.methods.loss import QKV
from harness.methods.terms import AttentionProbs, AttentionScores

from .random_models import NARROW, mean_loss, pair_of_models


def scores(qkv: QKV, example: int, head: int, position: int, length: int) -> Tensor:
    """q · kᵀ / √d_h of one position in one head with every real position."""
    width = qkv.query.shape[-1] // NARROW.heads
    part = slice(head * width, (head + 1) * width)
    query = qkv.query[example, position, part]
    products = [float(query @ qkv.key[example, other, part]) / math.sqrt(width) for other in range(length)]
    return torch.tensor(products, dtype=torch.float64)


def test_attention_probs_are_the_mean_kl_of_the_last_layers_rows() -> None:
    teacher, student, batch = pair_of_models()
    expected = 0.0
    for example, length in enumerate(batch.attention_mask.sum(1).tolist()):
        for head in range(NARROW.heads):
            for position in range(length):
                p = scores(teacher.qkv[4], example, head, position, length).softmax(0)
                q = scores(student.qkv[2], example, head, position, length).softmax(0)
                expected += float((p * (p / q).log()).sum()) / (NARROW.heads * length * 3)
    loss, _ = mean_loss(AttentionProbs(), teacher, student, batch)
    torch.testing.assert_close(float(loss), expected)


def test_attention_scores_are_the_mean_squared_difference_of_real_pairs() -> None:
    teacher, student, batch = pair_of_models()
    lengths = batch.attention_mask.sum(1).tolist()
    expected, pairs = 0.0, sum(length**2 for length in lengths)
    for layer, of_teacher in ((1, 2), (2, 4)):  # uniform
        for example, length in enumerate(lengths):
            for head in range(NARROW.heads):
                for position in range(length):
                    own = scores(student.qkv[layer], example, head, position, length)
                    difference = own - scores(teacher.qkv[of_teacher], example, head, position, length)
                    expected += float(difference.square().sum()) / (NARROW.heads * pairs * 2)
    loss, _ = mean_loss(AttentionScores(), teacher, student, batch)
    torch.testing.assert_close(float(loss), expected)
