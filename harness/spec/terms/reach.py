"""How far into a student a term's gradient reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Projection = Literal["query", "key", "value"]


@dataclass(frozen=True)
class Reach:
    """The places of a student that a term reads, and so sends gradient to and below. Layers are 1-based."""

    hidden: int | None = None
    """The deepest layer whose output is read: it and all below are trained; 0 is the embeddings alone."""
    projections: Mapping[int, frozenset[Projection]] = field(default_factory=dict)
    """Layer -> which of its attention projections are read: they and all layers below are trained."""
    mlm_head: bool = False
    """Whether the masked-LM head is read."""

    def __or__(self, other: Reach) -> Reach:
        depths = [depth for depth in (self.hidden, other.hidden) if depth is not None]
        layers = sorted({*self.projections, *other.projections})
        none: frozenset[Projection] = frozenset()
        return Reach(
            hidden=max(depths, default=None),
            projections={n: self.projections.get(n, none) | other.projections.get(n, none) for n in layers},
            mlm_head=self.mlm_head or other.mlm_head,
        )
