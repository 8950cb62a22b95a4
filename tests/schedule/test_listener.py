"""Every call of a run reaches every listener."""

from __future__ import annotations

import inspect

import pytest

from harness.schedule import Listener, Listeners

CALLS = [name for name, _ in inspect.getmembers(Listener, inspect.isfunction) if name.startswith("on_")]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_passed_on_to_each_listener_in_turn(call: str) -> None:
    received: list[tuple[int, tuple[object, ...]]] = []

    def listener(number: int) -> Listener:
        one = Listener()
        setattr(one, call, lambda *arguments: received.append((number, arguments)))
        return one

    count = len(inspect.signature(getattr(Listener, call)).parameters) - 1
    arguments = tuple(object() for _ in range(count))
    getattr(Listeners(listener(1), listener(2)), call)(*arguments)
    assert received == [(1, arguments), (2, arguments)]
