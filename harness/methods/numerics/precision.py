"""Losses are computed in float32 at least, whatever the models run in."""

from __future__ import annotations

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """`x` in float32 where it is narrower, else `x` itself (float64 stays)."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def compute_dtype(x: Tensor) -> torch.dtype:
    """What a matrix product of `x` runs in: autocast's type where it is on, else `x`'s own."""
    kind = x.device.type
    return (
        torch.get_autocast_dtype(kind)
        if torch.is_autocast_enabled(kind) and x.dtype != torch.float64
        else x.dtype
    )


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on `x`'s device keep the types they are given."""
    return torch.autocast(x.device.type, enabled=False)


def differentiable_where_enabled(*inputs: Tensor) -> tuple[Tensor, ...]:
    """Inputs of a function that makes gradients with its value: detached where nobody will ask for them."""
    return inputs if torch.is_grad_enabled() else tuple(x.detach() for x in inputs)
