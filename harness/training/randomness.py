"""Generator states that belong to one trial and are put in force only while it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Randomness:
    """The states of torch's default generators, as one trial sees them."""

    states: Mapping[str, Tensor]
    """`cpu`, and `cuda` for a trial on a GPU -> state."""

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> Randomness:
        """As after `torch.manual_seed(seed)`; torch's own generators stay where they are."""
        states = {"cpu": torch.Generator().manual_seed(seed).get_state()}
        if device.type == "cuda":
            states["cuda"] = torch.Generator(device).manual_seed(seed).get_state()
        return cls(states)

    @contextmanager
    def in_force(self) -> Iterator[Callable[[], Randomness]]:
        """Inside, torch draws from these states; the callable gives the states reached so far."""
        outside = self._now()
        self._put(self.states)
        try:
            yield lambda: Randomness(self._now())
        finally:
            self._put(outside)

    def _now(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if "cuda" in self.states:
            states["cuda"] = torch.cuda.get_rng_state()
        return states

    def _put(self, states: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"])


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for every use of randomness in a trial, so that no two draw alike; 0..2**63-1."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:8], "big") >> 1
