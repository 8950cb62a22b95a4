"""Classification: one class per row, of two or more that the task file names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.kinds.kind import KINDS, FineTunedKind, TaskFile, Tensor
from harness.registry import import_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Classification(FineTunedKind):
    """Labels and predictions are indices of classes, in the order of the task file; cross-entropy."""

    name = "classification"
    compares = ("classification", "regression")
    loss_name = "cross_entropy"
    hub_task = "text-classification"

    def problems(self, task: TaskFile) -> Iterator[str]:
        """Fewer than two labels, and the problems common to all fine-tuned kinds."""
        if len(task.labels) < 2:
            yield "a classification task names at least two labels"
        yield from super().problems(task)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits (rows, classes) with class indices (rows,)."""
        return import_name("torch.nn.functional:cross_entropy")(outputs, targets, reduction="sum")

    def predictions(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """The class with the largest logit, the first among equals."""
        import numpy as np

        return np.stack(outputs).argmax(axis=1)


KINDS.register(Classification.name, Classification())
