"""Rows by the share of words that a tokenizer splits, and the scores of each quarter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import BertWordPieceTokenizer
from transformers import BertTokenizerFast

from harness.assets.asset import Asset, LocalSource
from harness.spec.entries import Columns, Split, Task
from harness.tasks.rarity import quarters, rarity_scores, split_shares
from harness.tasks.scoring import Predicted

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "sun", "##rise", "the", "moon", "##s"]


@pytest.fixture(scope="module")
def tokenizer() -> BertTokenizerFast:
    pieces = BertWordPieceTokenizer({piece: n for n, piece in enumerate(PIECES)}, lowercase=True)
    return BertTokenizerFast(tokenizer_object=pieces._tokenizer)


def test_share_counts_words_of_both_texts(tokenizer: BertTokenizerFast) -> None:
    texts = ["the sun", "the sunrise", "the moons", ""]
    pairs = [None, "moons", "the moon", None]
    shares = split_shares([texts, pairs], tokenizer)
    assert shares.tolist() == [0, 2 / 3, 1 / 4, 0]


@given(arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])))
def test_quarters_follow_the_order_and_keep_equal_rows_together(shares: np.ndarray) -> None:
    found = quarters(shares)
    assert set(found.tolist()) <= {1, 2, 3, 4}
    for a, b in zip(shares, found, strict=True):
        below = int((shares < a).sum())
        assert b == 1 + 4 * below // len(shares)


def test_quarters_of_different_rows_are_of_equal_size() -> None:
    found = quarters(np.random.default_rng(0).permutation(40) / 40)
    assert np.bincount(found)[1:].tolist() == [10, 10, 10, 10]


def test_scores_of_the_quarters_are_those_of_their_rows() -> None:
    asset = Asset(sources=(LocalSource(path="/nowhere"),))
    task = Task(
        name="toy", suite="toy", assets={"data": asset}, labels={"no": 0, "yes": 1}, metrics=("accuracy",),
        splits={name: Split(asset="data", files="x") for name in ("train", "test")}, columns=Columns(text="a", label="b"),
    )  # fmt: skip
    labels = np.array([0, 1, 0, 1, 1, 1, 0, 0])
    predictions = np.array([0, 1, 0, 0, 1, 0, 1, 1])
    shares = np.linspace(0, 1, 8)
    predicted = Predicted("test", "en", np.arange(8), labels, predictions, np.zeros((8, 2), dtype=np.float32))
    scores = rarity_scores(task, predicted, shares)
    assert [(one.quarter, one.n, one.value) for one in scores] == [
        (1, 2, 1.0),
        (2, 2, 0.5),
        (3, 2, 0.5),
        (4, 2, 0.0),
    ]
    assert (scores[0].low, scores[-1].high) == (0.0, 1.0)
