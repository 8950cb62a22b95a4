"""Multi-label classification: any number of the task's labels a row, named in one column with spaces between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.kinds.kind import FineTunedKind, LabelReader, Tensor, lists
from harness.kinds.metrics import METRICS, Metric
from harness.registry import import_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MultiLabel(FineTunedKind):
    """Labels and predictions are ascending lists of classes; a binary cross-entropy for each class."""

    name = "multilabel"
    compares = ("multilabel",)
    label_dtype = "object"
    loss_name = "binary_cross_entropy"
    hub_task = "text-classification"

    def read_labels(self, reader: LabelReader, values: Sequence[Any], where: str) -> list[Any]:
        """The classes named in each value; an empty value has none."""
        names = [str(value).split() for value in values]
        classes = iter(reader.classes([name for row in names for name in row], where))
        return [sorted(next(classes) for _ in row) for row in names]  # type: ignore[type-var]

    def targets(self, labels: NDArray[Any], batch: Any) -> NDArray[np.generic]:
        """(rows, most labels of a row) classes, -1 where a row has fewer."""
        import numpy as np

        padded = np.full((len(labels), max(1, *map(len, labels))), -1, dtype=np.int64)
        for row, classes in enumerate(labels):
            padded[row, : len(classes)] = classes
        return padded

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy of logits (rows, classes), summed."""
        every = import_name("torch:arange")(outputs.shape[1], device=outputs.device)
        held = (targets[:, :, None] == every).any(dim=1).to(outputs.dtype)
        entropy = import_name("torch.nn.functional:binary_cross_entropy_with_logits")
        return entropy(outputs, held, reduction="sum")

    def predictions(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """The classes whose logit is above 0."""
        return lists((row > 0).nonzero()[0] for row in outputs)


def _read(values: Any, role: str) -> NDArray[Any]:
    return lists([int(one) for one in row] for row in values)


def _micro_f1(predictions: NDArray[Any], labels: NDArray[Any]) -> float:
    """2TP / (2TP + FP + FN) over all rows and classes; 0 where nothing is labelled or predicted."""
    pairs = list(zip(map(set, predictions), map(set, labels), strict=True))
    named = sum(len(predicted) + len(held) for predicted, held in pairs)
    return 2 * sum(len(predicted & held) for predicted, held in pairs) / named if named else 0.0


METRICS.register("micro_f1", Metric("multilabel", _micro_f1, lowest=0.0, read=_read))
MULTILABEL = MultiLabel()
