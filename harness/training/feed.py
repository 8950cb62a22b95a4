"""Batches on their way to the device."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from harness.corpora.stream import BatchStream
from harness.methods.loss import Batch


class Feed:
    """Batches of a stream by step. For a GPU the next batch is pinned in memory during the current step."""

    def __init__(self, stream: BatchStream, device: torch.device) -> None:
        self._stream = stream
        self._device = device
        self._worker = ThreadPoolExecutor(1) if device.type == "cuda" else None
        self._next: tuple[int, Future[Batch]] | None = None

    def at(self, step: int) -> tuple[Batch, Batch]:
        """The batch of 0-based `step` on the CPU and on the device."""
        if self._worker is None:
            batch = self._stream.at(step)
            return batch, batch
        ahead, self._next = self._next, None
        host = ahead[1].result() if ahead is not None and ahead[0] == step else self._pinned(step)
        self._next = (step + 1, self._worker.submit(self._pinned, step + 1))
        return host, host.to(self._device)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)

    def _pinned(self, step: int) -> Batch:
        batch = self._stream.at(step)
        return replace(
            batch,
            input_ids=batch.input_ids.pin_memory(),
            attention_mask=batch.attention_mask.pin_memory(),
            labels=batch.labels.pin_memory(),
        )
