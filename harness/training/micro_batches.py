"""Where a batch does not fit into memory, take the same step in smaller parts and accumulate their gradients."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from harness.attempts.faults import is_out_of_memory


class MicroBatches:
    """How many rows of a batch fit into memory, as far as is known."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        """Rows of a part; None while whole batches fit."""

    @property
    def flags(self) -> tuple[str, ...]:
        """For the result: `micro_batches:<rows>` where the fallback was taken."""
        return () if self.rows is None else (f"micro_batches:{self.rows}",)

    def run(self, examples: int, step: Callable[[int | None], Tensor], undo: Callable[[], None]) -> Tensor:
        """`step(rows)` on a batch of `examples`; where memory runs out, `undo()`, which frees what it can, and again with
        half the rows.

        Raises the allocation error where a single row does not fit.
        """
        while True:
            try:
                return step(self.rows)
            except Exception as error:
                rows = min(self.rows or examples, examples)
                if not is_out_of_memory(error) or rows == 1:
                    raise
                self.rows = (rows + 1) // 2
            # Outside the handler, where the exception no longer holds the failed step's tensors.
            undo()
