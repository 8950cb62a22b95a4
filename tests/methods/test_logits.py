"""The output distribution, written out position by position (Hinton et al., 2015)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.methods.loss import Activations
from harness.methods.terms import Logits

from .random_models import mean_loss, pair_of_models


def logits(model: Activations, example: int, position: int) -> Tensor:
    """The head's scores of one position."""
    assert model.mlm is not None
    features = model.mlm.transform(model.hidden[model.layers][example, position][None])
    return (features @ model.mlm.weight.T + model.mlm.bias)[0]


@pytest.mark.parametrize("positions", ["masked", "all"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_logits_are_the_mean_kl_of_softened_distributions(positions: str, temperature: float) -> None:
    teacher, student, batch = pair_of_models()
    params = Logits.model_validate({"temperature": temperature, "positions": positions})
    chosen = batch.masked_positions if positions == "masked" else batch.attention_mask
    losses = []
    for example, position in chosen.nonzero().tolist():
        p, q = ((logits(model, example, position) / temperature).softmax(0) for model in (teacher, student))
        losses.append(temperature**2 * float((p * (p / q).log()).sum()))
    loss, _ = mean_loss(params, teacher, student, batch)
    torch.testing.assert_close(float(loss), sum(losses) / len(losses))
