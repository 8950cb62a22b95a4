"""Where a batch does not fit into memory, take the same step in smaller parts and accumulate their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from harness.attempts.faults import is_out_of_memory
from harness.methods.loss import QKV, Activations, Batch

Done = TypeVar("Done")


class MicroBatches:
    """How many rows of a batch fit into memory, as far as is known."""

    def __init__(self, rows: int | None = None) -> None:
        self.rows = rows
        """Rows of a part; None while whole batches fit."""

    @property
    def flags(self) -> tuple[str, ...]:
        """For the result: `micro_batches:<rows>` where the fallback was taken."""
        return () if self.rows is None else (f"micro_batches:{self.rows}",)

    def run(self, examples: int, step: Callable[[int | None], Done], undo: Callable[[], None]) -> Done:
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


def in_parts(teacher: Activations, batch: Batch, rows: int | None) -> list[tuple[Activations, Batch]]:
    """The batch with the teacher's activations on it, in parts of at most `rows` rows."""
    if rows is None or rows >= batch.examples:
        return [(teacher, batch)]
    starts = range(0, batch.examples, rows)
    return [
        (_rows(teacher, start, start + rows), part)
        for start, part in zip(starts, batch.split(rows), strict=True)
    ]


def _rows(seen: Activations, start: int, stop: int) -> Activations:
    """The activations of examples start..stop."""
    return replace(
        seen,
        hidden={layer: state[start:stop] for layer, state in seen.hidden.items()},
        qkv={
            layer: QKV(maps.query[start:stop], maps.key[start:stop], maps.value[start:stop])
            for layer, maps in seen.qkv.items()
        },
    )


def joined(parts: Sequence[Activations]) -> Activations:
    """What one model made of the parts of a batch, as if it had seen it whole."""
    if len(parts) == 1:
        return parts[0]
    hidden = {layer: torch.cat([part.hidden[layer] for part in parts]) for layer in parts[0].hidden}
    qkv = {
        layer: QKV(
            torch.cat([part.qkv[layer].query for part in parts]),
            torch.cat([part.qkv[layer].key for part in parts]),
            torch.cat([part.qkv[layer].value for part in parts]),
        )
        for layer in parts[0].qkv
    }
    return replace(parts[0], hidden=hidden, qkv=qkv)
