"""Hidden states, written out position by position."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from harness.methods.losses.hidden_states import HiddenStatesLoss

from .random_models import hidden_states, mean_loss, pair_of_models

PAIRS = {
    "uniform": {1: (2,), 2: (4,)},
    "uniform_consecutive": {1: (0, 1, 2), 2: (2, 3, 4)},
    "last": {2: (4,)},
}


@pytest.mark.parametrize("mapping", PAIRS)
@pytest.mark.parametrize("normalize", ["none", "l2", "layer_norm"])
def test_hidden_states_are_the_mean_squared_error_of_projected_states(mapping: str, normalize: str) -> None:
    teacher, student, batch = pair_of_models()
    loss, term = mean_loss(hidden_states(mapping=mapping, normalize=normalize), teacher, student, batch)
    assert isinstance(term, HiddenStatesLoss)
    alike = {
        "none": lambda state: state,
        "l2": lambda state: state / state.norm(),
        "layer_norm": lambda state: functional.layer_norm(state, state.shape),
    }[normalize]
    expected, positions = 0.0, int(batch.attention_mask.sum())
    for i, layers in PAIRS[mapping].items():
        for example, position in batch.attention_mask.nonzero().tolist():
            own = alike(term.projection(student.hidden[i][example, position], i))
            for j in layers:
                error = float((own - alike(teacher.hidden[j][example, position])).square().mean())
                expected += error / (positions * len(layers) * len(PAIRS[mapping]))
    torch.testing.assert_close(float(loss), expected, rtol=1e-5, atol=1e-7)
