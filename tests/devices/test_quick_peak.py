"""A quick measurement of a core is right beside other work too, and on any clock."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.devices.quick_peak import LEAST_BURSTS, SECONDS, best_burst, quick_peak


class MadeUp:
    """A core on which a burst takes `seconds` of processor time at best, and other processes take turns."""

    def __init__(self, seconds: float, slower: Iterator[float], waits: Iterator[float]) -> None:
        self.seconds, self._slower, self._waits = seconds, slower, waits
        self.used, self.now, self.bursts = 0.0, 0.0, 0

    def burst(self) -> None:
        took = self.seconds * next(self._slower)
        self.used += took
        self.now += took + next(self._waits)
        self.bursts += 1


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    seconds=st.floats(1e-4, 10),
    others=st.floats(0, 20),
)
def test_what_other_processes_take_does_not_count(seed: int, seconds: float, others: float) -> None:
    chance = random.Random(seed)
    slower = iter(
        lambda: chance.choice([1.0, 1.02, 1.5, 4.0]), None
    )  # caches emptied by others, a stolen tick
    waits = iter(lambda: chance.expovariate(1) * others * seconds, None)
    core = MadeUp(seconds, slower, waits)
    best = best_burst(core.burst, lambda: core.used, lambda: core.now)
    assert seconds * 0.999 <= best
    assert core.bursts > LEAST_BURSTS
    assert core.now >= SECONDS or core.bursts == 1 + LEAST_BURSTS
    if core.bursts > 30:
        assert best <= seconds * 1.03


def test_the_first_burst_does_not_count() -> None:
    core = MadeUp(1.0, iter([0.1] + [1.0] * 99), iter([0.0] * 99))
    assert best_burst(core.burst, lambda: core.used, lambda: core.now) == pytest.approx(1.0)


def test_a_core_multiplies() -> None:
    assert 1e8 < quick_peak(2) < 1e13
