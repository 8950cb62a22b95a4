"""The pretended device as a context: inside, `cuda` can be computed on, and waits and copies are counted by place."""

from __future__ import annotations

import ctypes
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any
from unittest.mock import patch

ctypes.CDLL(os.environ["PRETENDED_CUDA"])  # before torch, which looks for devices once

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.utils._pytree import tree_flatten  # noqa: E402

aten = torch.ops.aten
CARD = torch.device("cuda", 0)
CHOSEN = 7
"""A mask picks one of so many elements: how many it really picks is known to a real device alone."""


class PretendedCuda(FakeTensorMode):
    """Computes with real tensors of the processor as ever, and with tensors of the device as far as shapes go."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.waits: Counter[str] = Counter()
        """Where in the harness the processor waits for the device -> how often."""
        self.copies: Counter[str] = Counter()
        """Where a tensor is copied to the device."""

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One operation."""
        kwargs = kwargs or {}
        fakes = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, FakeTensor)]
        target = torch.device(kwargs.get("device") or "cpu")
        if not fakes and target.type == "cpu":
            return func(*args, **kwargs)
        if func is aten._to_copy.default and not fakes:
            self.copies[place()] += 1
            return self._made(args[0].shape, kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and isinstance(args[0], FakeTensor) != isinstance(args[1], FakeTensor):
            (self.copies if fakes[0] is args[0] else self.waits)[place()] += 1
            return args[0]
        if any(x.device.type == "cuda" for x in fakes):
            found = self._waiting(func, args, kwargs)
            if found is not None:
                self.waits[place()] += 1
                return found
        return super().dispatch(func, types, args, kwargs)

    def _waiting(self, func: Any, args: Any, kwargs: Any) -> Any:
        """What an operation gives that a real device must be waited for; None for the others."""
        x = args[0]
        if func is aten._local_scalar_dense.default:
            return True if x.dtype == torch.bool else 1.0 if x.dtype.is_floating_point else 1
        if func in (aten.is_nonzero.default, aten.equal.default):
            return True
        if func is aten._to_copy.default and torch.device(kwargs.get("device") or CARD).type == "cpu":
            return torch.ones(x.shape, dtype=kwargs.get("dtype") or x.dtype)
        if func is aten.nonzero.default:
            return self._made((max(1, x.numel() // CHOSEN), x.dim()), torch.int64)
        if func is aten.index.Tensor:
            masks = [index for index in args[1] if index is not None and index.dtype == torch.bool]
            if masks:
                rest = x.shape[masks[0].dim() :]
                return self._made((max(1, masks[0].numel() // CHOSEN), *rest), x.dtype)
        return None

    def _made(self, shape: Any, dtype: torch.dtype) -> Any:
        return super().dispatch(
            aten.empty.memory_format, (), (list(shape),), {"dtype": dtype, "device": CARD}
        )


def place() -> str:
    """The innermost function of the harness that is running, as `room/module.py:function`."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and (
        "/harness/" not in frame.f_code.co_filename or frame.f_code.co_name[0] == "<"
    ):
        frame = frame.f_back
    assert frame is not None
    return f"{frame.f_code.co_filename.rpartition('/harness/')[2]}:{frame.f_code.co_name}"


def moved(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to`, which would put fake data into real parameters: new parameters instead, tied ones once."""
    device, dtype, _, _ = torch._C._nn._parse_to(*args, **kwargs)
    made: dict[int, nn.Parameter] = {}
    for module in self.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in made:
                there = parameter.detach().to(device, dtype if parameter.is_floating_point() else None)
                made[id(parameter)] = nn.Parameter(there, parameter.requires_grad)
            if parameter is not None:
                module._parameters[key] = made[id(parameter)]
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = buffer.to(device, dtype if buffer.is_floating_point() else None)
    return self


@contextmanager
def pretended() -> Iterator[PretendedCuda]:
    """Inside, there is a CUDA device."""
    states = [torch.Generator().get_state()]
    address = Tensor.data_ptr
    answers: dict[str, Any] = {
        "is_bf16_supported": lambda including_emulation=True: True,
        "is_available": lambda: True,
        "synchronize": lambda *_: None,
        "empty_cache": lambda: None,
        "get_rng_state": lambda *_: states[-1],
        "set_rng_state": lambda state, *_: states.append(state),
        "get_device_name": lambda *_: "Pretended card",
        "reset_peak_memory_stats": lambda *_: None,
        "memory_allocated": lambda *_: 0,
        "max_memory_allocated": lambda *_: 1,
        "set_per_process_memory_fraction": lambda *_: None,
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(patch.object(torch.cuda, name, answer))
        stack.enter_context(
            patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        )
        stack.enter_context(patch.object(Tensor, "pin_memory", lambda self, *_: self))
        stack.enter_context(
            patch.object(Tensor, "data_ptr", lambda x: id(x) if isinstance(x, FakeTensor) else address(x))
        )
        stack.enter_context(patch.object(nn.Module, "to", moved))
        yield stack.enter_context(PretendedCuda())
