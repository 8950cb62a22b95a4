"""Metrics of tagged words: named entities from tags, their micro-F1 as the package `seqeval` computes it, and accuracy.

Tags are whole numbers: 0 is `O`, 2k + 1 is `B-` and 2k + 2 is `I-` of the k-th type of entity (`labels_of`); -1, a word
without a prediction, counts as `O`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.kinds.kind import lists
from harness.kinds.metrics import METRICS, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

Entity = tuple[int, int, int]
"""Type, first word, and the word after the last."""


def labels_of(types: Iterable[str]) -> list[str]:
    """Names of the tags of these types of entity, in the order in which the metrics read them."""
    return ["O", *(f"{prefix}-{one}" for one in types for prefix in "BI")]


def entities(tags: Sequence[int], strict: bool = False) -> Iterator[Entity]:
    """The entities of one sentence: each begins with `B-` and goes on with `I-` of the same type. An `I-` that goes on
    with nothing begins an entity as well (IOB, and conlleval's reading), unless `strict` (IOB2): then it is none."""
    start, kind = 0, -1  # -1: outside
    for place, tag in enumerate([*tags, 0]):
        inside, own = tag > 0 and tag % 2 == 0, (tag - 1) // 2
        if kind >= 0 and not (inside and own == kind):
            yield kind, start, place
            kind = -1
        if kind < 0 and tag > 0 and not (inside and strict):
            start, kind = place, own


def entity_f1(predictions: Iterable[Sequence[int]], labels: Iterable[Sequence[int]], strict: bool) -> float:
    """2TP / (predicted + labelled) over the entities of all sentences, right where type and both ends are; 0 where there
    are none."""
    right = named = 0
    for predicted, wanted in zip(predictions, labels, strict=True):
        found, there = set(entities(predicted, strict)), set(entities(wanted, strict))
        right += len(found & there)
        named += len(found) + len(there)
    return 2 * right / named if named else 0.0


def _f1(strict: bool) -> Callable[[NDArray[Any], NDArray[Any]], float]:
    return lambda predictions, labels: entity_f1(predictions, labels, strict)


def _words(rows: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    return np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])


def _accuracy(predictions: NDArray[Any], labels: NDArray[Any]) -> float:
    return float((_words(predictions) == _words(labels)).mean())


def _commonest(labels: NDArray[Any]) -> float:
    """The share of the most frequent tag."""
    import numpy as np

    words = _words(labels)
    return float(np.unique(words, return_counts=True)[1].max() / len(words))


def _read(values: Any, role: str) -> NDArray[Any]:
    """Tags of each sentence. ValueError where a sentence has none or they are no whole numbers."""
    rows = [[int(tag) for tag in row] for row in values]
    if not all(rows):
        raise ValueError(f"{role} hold a sentence without words")
    return lists(rows)


METRICS.register(
    "word_accuracy",
    Metric(
        "words",
        _accuracy,
        lowest=0.0,
        read=_read,
        no_information=_commonest,
        chance=lambda classes: 1 / max(1, classes),
    ),
)
METRICS.register("entity_f1", Metric("entities", _f1(strict=False), lowest=0.0, read=_read))
METRICS.register("entity_f1_strict", Metric("entities", _f1(strict=True), lowest=0.0, read=_read))
