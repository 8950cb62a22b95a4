"""What is asked of an accelerator's module of torch, and that the processor is asked for none of it."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
import torch

from harness.devices import device as devices

CARD, PROCESSOR = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """In the place of `torch.cuda`, which needs a card."""
    module = Mock()
    monkeypatch.setattr(torch, "get_device_module", {CARD: module}.__getitem__)
    return module


@pytest.mark.parametrize(("share", "bounds"), [(0.25, [0.25]), (1.0, []), (2.0, []), (0.0, [])])
def test_a_trial_that_shares_a_card_takes_no_more_than_its_part_and_leaves_nothing_behind(
    share: float, bounds: list[float], card: Mock
) -> None:
    with devices.part_of_memory(CARD, share):
        assert [call.args[0] for call in card.set_per_process_memory_fraction.call_args_list] == bounds
        card.empty_cache.assert_not_called()
    card.empty_cache.assert_called_once()


def test_a_card_that_no_longer_answers_does_not_hide_why(card: Mock) -> None:
    card.empty_cache.side_effect = torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(ValueError, match="the reason"), devices.part_of_memory(CARD, 1.0):
        raise ValueError("the reason")


def test_a_processor_is_asked_for_nothing(card: Mock) -> None:
    with devices.part_of_memory(PROCESSOR, 0.5):
        devices.wait(PROCESSOR)
        devices.free_cached(PROCESSOR)
        devices.set_generator_state(PROCESSOR, devices.generator_state(PROCESSOR))
    assert not card.mock_calls
