"""What a method leaves untrained: the parts of a student that no term sends gradient to. Imports no torch.

A term on the projections of layer l trains all layers below l and those projections, but neither the
attention output, the feed-forward block and the norms of layer l nor anything above; a term on hidden states
trains no masked-LM head. Without any term nothing is distilled, and everything stands as initialised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

from harness.spec.base import Shape
from harness.spec.terms import Reach, TermParams

Block = Literal["query", "key", "value", "attention output", "feed-forward"]
BLOCKS: tuple[Block, ...] = ("query", "key", "value", "attention output", "feed-forward")
"""The parts of one layer; each norm belongs to the part whose output it normalises."""


@dataclass(frozen=True)
class Untrained:
    """Parts of a student without gradient."""

    embeddings: bool = False
    """Word and position embeddings and their norm."""
    layers: Mapping[int, tuple[Block, ...]] = field(default_factory=dict)
    """Layer (1-based) -> its untrained blocks; layers that are trained whole are absent."""
    mlm_head: bool = False
    """The masked-LM head above the last layer."""

    @property
    def parts(self) -> tuple[str, ...]:
        """One phrase for each untrained part, bottom up: `embeddings`, `layer 6: value, feed-forward`."""
        named = ["embeddings"] if self.embeddings else []
        for layer, blocks in sorted(self.layers.items()):
            named.append(f"layer {layer}" + ("" if blocks == BLOCKS else f": {', '.join(blocks)}"))
        return (*named, *(["masked-LM head"] if self.mlm_head else []))


def untrained_parameters(params: Sequence[TermParams], teacher: Shape, student: Shape) -> Untrained:
    """The parts of `student` that receive no gradient from the terms `params`."""
    reach = reduce(lambda all_, term: all_ | term.reach(teacher, student), params, Reach())
    depths = [*([] if reach.hidden is None else [reach.hidden]), *(layer - 1 for layer in reach.projections)]
    whole = max(depths, default=-1)
    layers: dict[int, tuple[Block, ...]] = {}
    for layer in range(max(whole, 0) + 1, student.layers + 1):
        read = reach.projections.get(layer, frozenset())
        layers[layer] = tuple(block for block in BLOCKS if block not in read)
    return Untrained(embeddings=whole < 0, layers=layers, mlm_head=not reach.mlm_head)
