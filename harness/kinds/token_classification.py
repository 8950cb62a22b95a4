"""Token classification: one tag a word, such as parts of speech or the beginnings and insides of named entities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.kinds.entities import labels_of
from harness.kinds.kind import KINDS, FineTunedKind, LabelReader, TaskFile, Tensor, lists
from harness.kinds.metrics import METRICS
from harness.registry import import_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNLABELLED = -100
"""Target of a token that is no word's first piece; cross-entropy leaves it out."""
UNPREDICTED = -1
"""Prediction for a word that no token stands for; always wrong."""


class TokenClassification(FineTunedKind):
    """Labels and predictions are lists, one tag a word; cross-entropy at the first piece of each word.

    Words that an overlong sentence loses when it is cut are not learnt from, and are wrong in every score, so that models
    with different tokenizers are scored on the same words."""

    name = "token_classification"
    compares = ("words", "entities")
    label_dtype = "object"
    reads_words = True
    head = "AutoModelForTokenClassification"
    reads_first_token = False
    loss_name = "cross_entropy"
    hub_task = "token-classification"

    def problems(self, task: TaskFile) -> Iterator[str]:
        """Fewer than two tags, a second text, files that cannot hold lists, tags whose entities are not known."""
        if len(task.labels) < 2:
            yield f"a {self.name} task names at least two tags under `labels`"
        layouts = [(one.format, one.columns) for one in (task, *task.splits.values())]
        if any(columns is not None and columns.text_pair is not None for _, columns in layouts):
            yield f"a {self.name} task has one text, so no column `text_pair`"
        if strange := {format for format, _ in layouts} & {"csv", "tsv", "udhr"}:
            yield (
                f"a {self.name} task reads lists of words and tags, which {', '.join(sorted(strange))} files do not hold; "
                "use jsonl, parquet, conll, conllu or brown"
            )
        yield from super().problems(task)
        wanted = labels_of(dict.fromkeys(name[2:] for name in task.labels if name[:2] in ("B-", "I-")))
        for metric in task.metrics:
            if METRICS[metric].kind == "entities" and list(task.labels) != wanted:
                yield f"the metric {metric!r} needs the labels O, then B- and I- of each type; write {', '.join(wanted)}"

    def read_labels(self, reader: LabelReader, values: Sequence[Any], where: str) -> list[Any]:
        """The classes of each sentence's tags; None for a sentence with a tag to drop. An unknown tag is named with the
        first row that has it."""
        known: dict[Any, int | None] = {}
        for row, tags in enumerate(values):
            for tag in tags:
                if tag not in known:
                    [known[tag]] = reader.classes([tag], f"{where}, row {row}")
        classes = ([known[tag] for tag in tags] for tags in values)
        return [None if None in row else row for row in classes]

    def targets(self, labels: NDArray[Any], batch: Any) -> NDArray[np.generic]:
        """(rows, tokens) the class of a word at its first piece, `UNLABELLED` elsewhere."""
        import numpy as np

        targets = np.full(tuple(batch.input_ids.shape), UNLABELLED, dtype=np.int64)
        for row, (classes, places) in enumerate(zip(labels, batch.first_pieces, strict=True)):
            there = places >= 0
            targets[row, places[there]] = np.asarray(classes, dtype=np.int64)[there]
        return targets

    def averaged_over(self, labels: NDArray[Any]) -> int:
        """How many words the rows have, those cut off included."""
        return sum(map(len, labels))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits (rows, tokens, classes) with classes (rows, tokens), summed over first pieces."""
        entropy = import_name("torch.nn.functional:cross_entropy")
        return entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=UNLABELLED, reduction="sum")

    def by_row(self, outputs: NDArray[np.float32], batch: Any) -> Iterable[NDArray[np.float32]]:
        """(words, classes) logits of each row's words; NaN for a word without a token."""
        import numpy as np

        for logits, places in zip(outputs, batch.first_pieces, strict=True):
            yield np.where(places[:, None] >= 0, logits[places], np.float32(np.nan))

    def predictions(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """The class with the largest logit of each word, the first among equals; `UNPREDICTED` for a word without a
        token."""
        import numpy as np

        return lists(
            np.where(np.isnan(row[:, 0]), UNPREDICTED, row.argmax(axis=1)).tolist() for row in outputs
        )

    def flags(self, predictions: NDArray[Any]) -> Iterator[str]:
        """`words_cut:N` and `sentences_cut:N`, where words have no prediction."""
        import numpy as np

        cut = [int(np.equal(row, UNPREDICTED).sum()) for row in predictions]
        if any(cut):
            yield f"words_cut:{sum(cut)}"
            yield f"sentences_cut:{np.count_nonzero(cut)}"


KINDS.register(TokenClassification.name, TokenClassification())
