"""Entities and their F1 are those of the package `seqeval`, in both of its modes, whatever the tags are."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2

from harness.kinds.chance import far_below_chance, no_information
from harness.kinds.entities import entities, labels_of
from harness.kinds.kind import lists
from harness.kinds.metrics import compute

LABELS = labels_of(["PER", "ORG", "LOC"])
Draw = Callable[[random.Random, int], list[int]]


def anything(draw: random.Random, words: int) -> list[int]:
    return [draw.randrange(len(LABELS)) for _ in range(words)]


def well_formed(draw: random.Random, words: int) -> list[int]:
    """IOB2: I- only goes on with its own type."""
    tags = [0]
    for _ in range(words):
        going_on = [tags[-1] + tags[-1] % 2] if tags[-1] else []
        tags.append(draw.choice([0, 0, 1, 3, 5, *going_on, *going_on]))
    return tags[1:]


def outside(draw: random.Random, words: int) -> list[int]:
    return [0] * words


def without_beginnings(draw: random.Random, words: int) -> list[int]:
    return [draw.choice([0, 2, 4, 6]) for _ in range(words)]


def all_inside(draw: random.Random, words: int) -> list[int]:
    return [2] * words


def nearly(draw: random.Random, rows: list[list[int]]) -> list[list[int]]:
    """One tag in five is another."""
    return [[draw.randrange(len(LABELS)) if draw.random() < 0.2 else tag for tag in row] for row in rows]


def by_seqeval(predicted: list[list[int]], wanted: list[list[int]], strict: bool) -> float:
    by_name = [[[LABELS[tag] for tag in row] for row in rows] for rows in (wanted, predicted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where F1 is 0 by definition
        return float(f1_score(*by_name, **({"mode": "strict", "scheme": IOB2} if strict else {})))


DRAWS: list[Draw] = [anything, well_formed, outside, without_beginnings, all_inside]
CASES = [(DRAWS[n % 5], DRAWS[n // 5 % 5], 1 if n % 7 == 0 else 12, n) for n in range(200)]


@pytest.mark.parametrize("strict", [False, True])
def test_f1_is_seqevals_on_200_random_sets_of_sentences(strict: bool) -> None:
    metric = "entity_f1_strict" if strict else "entity_f1"
    values = []
    for predict, label, longest, seed in CASES:
        draw = random.Random(seed)
        lengths = [draw.randint(1, longest) for _ in range(draw.randint(1, 8))]
        wanted = [label(draw, words) for words in lengths]
        predicted = [predict(draw, words) for words in lengths] if seed % 2 else nearly(draw, wanted)
        values.append(compute(metric, lists(predicted), lists(wanted)))
        assert values[-1] == pytest.approx(by_seqeval(predicted, wanted, strict), abs=1e-12), seed
    assert len({round(value, 6) for value in values}) > 30
    assert {0.0, 1.0} <= set(values)


@pytest.mark.parametrize("seed", range(20))
def test_the_entities_themselves_are_seqevals(seed: int) -> None:
    tags = anything(random.Random(seed), 40)
    theirs = [(kind, first, last + 1) for kind, first, last in get_entities([LABELS[tag] for tag in tags])]
    assert [(LABELS[2 * kind + 1][2:], first, after) for kind, first, after in entities(tags)] == theirs


def test_a_word_without_a_prediction_ends_an_entity_and_is_wrong() -> None:
    assert list(entities([1, -1, 2])) == [(0, 0, 1), (0, 2, 3)]
    wanted, predicted = lists([[1, 2, 0], [0]]), lists([[1, 2, -1], [0]])
    assert compute("word_accuracy", predicted, wanted) == 0.75
    assert compute("entity_f1", predicted, wanted) == 1.0


def test_accuracy_is_over_words_and_is_measured_against_the_most_frequent_tag() -> None:
    labels = lists([[0, 1], [0, 0, 2, 0]])
    assert compute("word_accuracy", lists([[0, 1], [1, 1, 1, 1]]), labels) == pytest.approx(2 / 6)
    assert no_information("word_accuracy", labels) == pytest.approx(4 / 6)
    assert no_information("entity_f1", labels) is None
    assert far_below_chance("word_accuracy", 0.0, 200, 3)
    assert not far_below_chance("entity_f1", 0.0, 200, 3)


def test_a_sentence_without_words_has_no_score() -> None:
    with pytest.raises(ValueError, match="without words"):
        compute("word_accuracy", lists([[0], []]), lists([[0], []]))
    with pytest.raises(ValueError, match="1 predictions for 2 labels"):
        compute("entity_f1", lists([[0]]), lists([[0], [1]]))
    assert np.isclose(compute("entity_f1", lists([[0]]), lists([[0]])), 0)
