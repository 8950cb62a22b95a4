"""Generator states that belong to one trial and are put in force only while it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.devices.device import generator_state, set_generator_state


@dataclass(frozen=True)
class Randomness:
    """The states of torch's default generators, as one trial sees them."""

    states: Mapping[str, Tensor]
    """`cpu`, and for a trial on an accelerator its kind (`cuda`) -> state."""

    @classmethod
    def seeded(cls, seed: int, device: torch.device) -> Randomness:
        """As after `torch.manual_seed(seed)`; torch's own generators stay where they are."""
        kinds = dict.fromkeys(("cpu", device.type))
        return cls({kind: torch.Generator(kind).manual_seed(seed).get_state() for kind in kinds})

    def on(self, device: torch.device, seed: int) -> Randomness:
        """What a trial goes on with on `device`: these states, and for an accelerator of which there is none, one seeded
        with `seed`."""
        return Randomness(
            {kind: self.states.get(kind, state) for kind, state in self.seeded(seed, device).states.items()}
        )

    @contextmanager
    def in_force(self) -> Iterator[Callable[[], Randomness]]:
        """Inside, torch draws from these states; the callable gives the states reached so far."""
        outside = self._now()
        _put(self.states)
        try:
            yield lambda: Randomness(self._now())
        finally:
            _put(outside)

    def _now(self) -> dict[str, Tensor]:
        return {kind: generator_state(torch.device(kind)) for kind in self.states}


def _put(states: Mapping[str, Tensor]) -> None:
    for kind, state in states.items():
        set_generator_state(torch.device(kind), state)


def derived_seed(seed: int, purpose: str) -> int:
    """A seed of its own for every use of randomness in a trial, so that no two draw alike; 0..2**63-1."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:8], "big") >> 1
