"""From an exception to the reason that is recorded and shown, and by which a trial is tried again."""

from __future__ import annotations

import errno

import torch

from harness.errors import AssetError, ChangedInputError, DeviceLostError, HarnessError, TrialError
from harness.records.result import Failure

_REASONS_BY_NUMBER = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.ENOENT: "lost_input",
}


_NO_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""In messages of failed allocations without a class of their own: on the processor, and outside torch's allocator."""
_OF_ACCELERATOR = ("CUDA error:", "HIP error:", "cuDNN error:")


class TrialInterruptedError(TrialError):
    """The trial was asked to stop. It left a checkpoint and no result; a further run goes on from there."""

    def __init__(self, title: str, step: int) -> None:
        super().__init__(
            "interrupted", f"{title}: stopped after step {step}; the next run goes on from there"
        )
        self.step = step


class NotFiniteError(TrialError):
    """A loss or gradient became NaN or infinite."""

    def __init__(self, step: int, term: str, value: float) -> None:
        super().__init__("nan", f"step {step}: {term} became {value}; try a lower learning rate or fp32")
        self.step, self.term = step, term


class PeerError(TrialError):
    """An error in another worker of the process group, as that worker would have recorded it."""

    def __init__(self, rank: int, failure: Failure) -> None:
        super().__init__(failure.reason, failure.message)
        self.failure = failure.model_copy(update={"message": f"worker {rank}: {failure.message}"})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: a class of its own on GPUs, on the CPU only the allocator's message."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, PeerError):
        return error.reason == "out_of_memory"
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _NO_MEMORY)


def end_if_device_is_lost(error: BaseException) -> None:
    """Raise DeviceLostError where `error` comes from an accelerator that fails at the next call too."""
    if isinstance(error, DeviceLostError):
        raise error
    is_its = isinstance(error, torch.AcceleratorError) or any(part in str(error) for part in _OF_ACCELERATOR)
    if not is_its or isinstance(error, PeerError) or is_out_of_memory(error):
        return
    try:
        torch.accelerator.synchronize()
    except RuntimeError:
        message = " ".join(str(error).split())[:200]
        raise DeviceLostError(f"the accelerator no longer answers its process: {message}") from error


def failure_of(error: BaseException) -> Failure:
    """The recorded reason of an error, its message on one line."""
    if isinstance(error, PeerError):
        return error.failure
    message = " ".join(str(error).split())
    if isinstance(error, NotFiniteError):
        return Failure(reason="nan", message=message, step=error.step, term=error.term)
    if not isinstance(error, (HarnessError, OSError)):  # the message of others says little without its class
        message = f"{type(error).__name__}: {message}".removesuffix(": ")
    return Failure(reason=_reason(error), message=message)


def _reason(error: BaseException) -> str:
    if isinstance(error, TrialError):
        return error.reason
    if is_out_of_memory(error):
        return "out_of_memory"
    if isinstance(error, AssetError):
        return "changed_input" if isinstance(error, ChangedInputError) else "lost_input"
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS_BY_NUMBER.get(error.errno, "error")
    return "error"
