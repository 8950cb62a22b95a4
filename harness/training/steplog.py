"""Losses of the steps taken: watched for NaN and infinity, and reported now and then."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from harness.attempts.attempt import Attempt
from harness.attempts.faults import NotFiniteError
from harness.records.result import Progress
from harness.training.optimise import LinearSchedule

_UNSEEN_STEPS = {"cpu": 1, "cuda": 50}
"""Steps whose losses may wait on the device before they are checked: reading them stalls a GPU."""


class StepLog:
    """Losses of one trial's steps; they stay on the device until they are checked."""

    def __init__(
        self,
        attempt: Attempt,
        schedule: LinearSchedule,
        tokens: int = 0,
        clip_norm: float | None = None,
    ) -> None:
        self._attempt = attempt
        self._schedule = schedule
        self._unseen: list[tuple[int, Tensor]] = []
        self._names: Sequence[str] = ()
        self._tokens = tokens
        self._line = (time.monotonic(), tokens)
        self._last: Progress | None = None
        self._clip_norm = clip_norm
        self._steps = 0
        self._clipped = 0

    def doing(self, what: str) -> None:
        """Between steps: report what is being done, where a line of progress is due."""
        if self._last is not None and self._attempt.line_due:
            self._attempt.report(self._last.model_copy(update={"doing": what, "at": time.time()}))

    def add(self, step: int, terms: Sequence[str], values: Tensor, tokens: int) -> None:
        """Record 0-based `step`; `tokens` counts the real tokens of all steps so far.

        `values` (terms + 2,) are the terms' losses, their weighted sum and the gradient norm. Raises NotFiniteError
        when this or an earlier step turns out NaN or infinite.
        """
        self._names = terms
        self._unseen.append((step, values))
        self._tokens = tokens
        is_last = step + 1 >= self._schedule.steps
        if is_last or self._attempt.line_due or len(self._unseen) >= _UNSEEN_STEPS[values.device.type]:
            self.check()

    def check(self) -> None:
        """Check the losses not checked yet; NotFiniteError at the first value that is not finite."""
        unseen, self._unseen = self._unseen, []
        if not unseen:
            return
        rows = torch.stack([values for _, values in unseen]).tolist()
        for (step, _), row in zip(unseen, rows, strict=True):
            for name, value in zip([*self._names, "loss", "gradient"], row, strict=True):
                if not abs(value) < float("inf"):
                    raise NotFiniteError(step, name, value)
            self._steps += 1
            self._clipped += self._clip_norm is not None and row[-1] > self._clip_norm
        last = unseen[-1][0]
        if self._attempt.line_due or last + 1 >= self._schedule.steps:
            self._report(last, *rows[-1])

    def _report(self, step: int, *values: float) -> None:
        now = time.monotonic()
        since, tokens_then = self._line
        *terms, loss, gradient_norm = values
        self._last = Progress(
            step=step + 1,
            steps=self._schedule.steps,
            loss=loss,
            terms=dict(zip(self._names, terms, strict=True)),
            learning_rate=self._schedule(step),
            tokens_per_second=(self._tokens - tokens_then) / max(now - since, 1e-9),
            at=time.time(),
            gradient_norm=gradient_norm,
            clipped=None if self._clip_norm is None else self._clipped / self._steps,
        )
        self._attempt.report(self._last)
        self._line = (now, self._tokens)
        self._steps = self._clipped = 0
