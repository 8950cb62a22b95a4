"""Which parts of a model no step has changed, named by the largest modules that consist of nothing else."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn


def untrained_parts(model: nn.Module, untrained: Collection[str]) -> list[str]:
    """Names of the outermost modules and parameters of `model` all of whose parameters are in `untrained`."""
    names = set(untrained)
    parts: list[str] = []
    _collect(model, "", names, parts)
    return parts


def _collect(module: nn.Module, prefix: str, untrained: set[str], parts: list[str]) -> None:
    own = [prefix + name for name, _ in module.named_parameters(remove_duplicate=False)]
    left = [name for name in own if name in untrained]
    if own and len(left) == len(own):
        parts.append(prefix.rstrip(".") or "the whole model")
        return
    if not left:
        return
    own_here = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    parts += [name for name in own_here if name in untrained]
    for name, child in module.named_children():
        _collect(child, f"{prefix}{name}.", untrained, parts)
