"""Several processes that train one cohort, each on its share of the rows of every batch.

All of them run the same program on the same inputs (SPMD): each holds all students, takes its rows of the batch, and
runs the teacher on these alone. Between backward pass and optimiser the gradients are summed, so that all take the same
step. A term returns the sum of its loss and every process divides it by the count of the *whole* batch, so the sum over
processes is the loss of the whole batch, however its masked positions are spread over them. `DistributedDataParallel`
would give the mean of per-process means instead. It also hooks into one module's `forward`, whereas objectives read
submodules through taps and have projections of their own, and it must know which parameters a step leaves without
gradient.

An event in one process alone (memory runs out, a disk is full, the user stops the run) must not separate it from the
others: an error in any process is raised in all (`together`), and the leader's answers hold for all (`decided`), so they
stay in step. A process that dies ends its group (`WorkerLostError`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from harness.attempts.faults import PeerError, TrialInterruptedError, end_if_device_is_lost, failure_of
from harness.methods.loss import Batch

_KNOWN = "known_to_all_workers"
"""Set on an error that was raised in all processes. The group holds no such error itself: its traceback holds the frames
of the failed step, and these the step's tensors."""


def is_known_to_all(error: BaseException) -> bool:
    """Whether every process of the group has raised this error, its own or as `PeerError`."""
    return getattr(error, _KNOWN, False)


class WorkerLostError(BaseException):
    """A process of the group has died. Not an `Exception`, since no trial may record it as a failure of its own."""


class Alone:
    """A cohort in one process, which takes all rows; the interface of `ProcessGroup`."""

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints, progress and results."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch."""
        return batch

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error of any process in all of them, as `PeerError` in the others. An exchange inside needs a
        `together` of its own."""
        yield

    def decided(self, *answers: bool) -> tuple[bool, ...]:
        """The leader's answers."""
        return answers

    def require_same(self, what: str, value: object) -> None:
        """Raise an error in all processes where the `value` of one differs from the leader's."""

    def sum_up(self, observed: Mapping[str, Tensor]) -> None:
        """Sum tensors over all processes, in place."""

    def combine(self, parameters: Sequence[nn.Parameter], losses: Tensor) -> Tensor:
        """Sum gradients over all processes, in place, and `losses` (1-d), which are returned. A parameter without
        gradient in every process stays without."""
        return losses

    def call(self, job: Any) -> None:
        """For the leader: send `job` to the followers, which `listen`; None stops them."""

    def release(self, error: BaseException) -> None:
        """Leave the group with WorkerLostError where only this process knows of `error` and so cannot stay in step."""


class ProcessGroup(Alone):
    """This process's place in torch's default process group, which must have a backend for CPU tensors."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def share(self, batch: Batch) -> Batch:
        """The rank-th of `size` equal parts; `batch_size` is a multiple (`harness.spec.checks`)."""
        return batch.split(batch.examples // self.size)[self.rank]

    @contextmanager
    def together(self) -> Iterator[None]:
        mine: Exception | None = None
        try:
            yield
        except TrialInterruptedError:
            raise  # raised in all by the leader's decision
        except Exception as error:
            if is_known_to_all(error):
                raise
            end_if_device_is_lost(error)  # the others see that this process has left
            mine = error
        try:
            failed = torch.tensor([mine is not None], dtype=torch.uint8)
            self._reduce(failed, dist.ReduceOp.MAX)
            if failed.item():
                raise self._first(mine)
        finally:  # an error knows the frames it passed through; in one of these it would keep itself and their tensors
            mine = None

    def _first(self, mine: Exception | None) -> Exception:
        """The error of the lowest rank that has one, so that all processes choose the same."""
        failures = self._gather(None if mine is None else failure_of(mine))
        rank = next(rank for rank, failure in enumerate(failures) if failure is not None)
        first = mine if mine is not None and rank == self.rank else PeerError(rank, failures[rank])
        setattr(first, _KNOWN, True)
        return first

    def decided(self, *answers: bool) -> tuple[bool, ...]:
        decision = torch.tensor(answers, dtype=torch.uint8)
        with _connected():
            dist.broadcast(decision, src=0)
        return tuple(bool(answer) for answer in decision.tolist())

    def require_same(self, what: str, value: object) -> None:
        values = self._gather(value)
        with self.together():
            if value != values[0]:
                raise ValueError(
                    f"{what} is {value} in worker {self.rank} and {values[0]} in worker 0; all workers of a "
                    "cohort need one kind of processor and one runs directory, on a shared file system"
                )

    def sum_up(self, observed: Mapping[str, Tensor]) -> None:
        for name in sorted(observed):
            self._reduce(observed[name], dist.ReduceOp.SUM)

    def combine(self, parameters: Sequence[nn.Parameter], losses: Tensor) -> Tensor:
        """One exchange for all gradients, after a small one of who has which: rows without any corrupted
        position leave the head of one process without gradient."""
        touched = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
        self._reduce(touched, dist.ReduceOp.MAX)
        used = [p for p, is_touched in zip(parameters, touched.tolist(), strict=True) if is_touched]
        with self.together():  # as large as the model: memory may run out in one process alone
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in used]
            flat = torch.cat([*(gradient.flatten() for gradient in gradients), losses])
            del gradients
        self._reduce(flat, dist.ReduceOp.SUM)
        *summed, losses = flat.split([*(p.numel() for p in used), len(losses)])
        for parameter, gradient in zip(used, summed, strict=True):
            parameter.grad = gradient.view_as(parameter)
        return losses

    def call(self, job: Any) -> None:
        with _connected():
            dist.broadcast_object_list([job], src=0)

    def listen(self) -> Any:
        """The leader's next job; None after the last."""
        jobs: list[Any] = [None]
        with _connected():
            dist.broadcast_object_list(jobs, src=0)
        return jobs[0]

    def release(self, error: BaseException) -> None:
        if not is_known_to_all(error):
            raise WorkerLostError(f"worker {self.rank} left its group: {error!r}") from error

    def _reduce(self, tensor: Tensor, operation: Any) -> None:
        with _connected():
            dist.all_reduce(tensor, operation)

    def _gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.size
        with _connected():
            dist.all_gather_object(values, value)
        return values


@contextmanager
def _connected() -> Iterator[None]:
    """Raise WorkerLostError where an exchange fails, which means that a process has died."""
    try:
        yield
    except RuntimeError as error:
        raise WorkerLostError(f"a worker of the group has died: {error}") from error
