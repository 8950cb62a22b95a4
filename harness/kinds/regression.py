"""Regression: one number per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.kinds.kind import KINDS, FineTunedKind, LabelReader, TaskFile, Tensor
from harness.registry import import_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Regression(FineTunedKind):
    """Labels and predictions are numbers; squared error."""

    name = "regression"
    compares = ("regression",)
    label_dtype = "float64"
    loss_name = "squared_error"
    hub_task = "text-classification"

    def read_labels(self, reader: LabelReader, values: Sequence[Any], where: str) -> list[Any]:
        """Each value as a number."""
        return reader.numbers(values, where)

    def outputs(self, task: TaskFile) -> tuple[str, ...]:
        """A single output, `value`."""
        return ("value",)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error of outputs (rows, 1) against numbers (rows,)."""
        squared_error = import_name("torch.nn.functional:mse_loss")
        return squared_error(outputs[:, 0], targets.float(), reduction="sum")

    def predictions(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[Any]:
        """The outputs unchanged, (rows,) float64."""
        import numpy as np

        return np.stack(outputs)[:, 0].astype(np.float64)


KINDS.register(Regression.name, Regression())
