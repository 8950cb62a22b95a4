"""ONNX graphs of every family beside PyTorch, at shapes that were not traced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import InputError
from harness.service.graph import TRACED, Encoder, Session, input_names, write_graph
from harness.service.parity import TOLERANCE, compare
from tests.models.tiny import MODEL_TYPES, tiny_model

LONGEST = 64
PADDING = 1


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "model_type", sorted(set(MODEL_TYPES) - {"xlm-roberta", "camembert"})
)  # RoBERTa's own code
def test_a_graph_of_any_shape_is_the_model(model_type: str, tmp_path: Path) -> None:
    model = Encoder(tiny_model(model_type, layers=2)).eval()
    write_graph(model, LONGEST, tmp_path / "model.onnx")
    session = Session(tmp_path / "model.onnx")
    assert session.inputs == input_names(model)
    parity = compare(session, model, LONGEST, PADDING)
    parity.require()
    assert TRACED not in parity.shapes
    assert max(tokens for _, tokens in parity.shapes) == LONGEST
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.01)
    other = compare(session, model, LONGEST, PADDING)
    assert other.largest_difference > TOLERANCE
    with pytest.raises(InputError, match="nothing is exported: the ONNX file differs from PyTorch by"):
        other.require()
