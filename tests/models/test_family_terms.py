"""Every term on models of every family: zero where student is teacher, and training lowers it."""

from __future__ import annotations

import pytest
import torch

from harness.families import FAMILIES
from harness.methods.objective import build_objective
from harness.methods.terms import (
    AttentionProbs,
    AttentionScores,
    Cosine,
    Embeddings,
    HiddenStates,
    Logits,
    Qkv,
    Relations,
    TermParams,
)
from harness.models.taps import Tapped
from harness.shapes import shape_of_config

from .tiny import make_batch, tiny_model

TERMS: dict[str, TermParams] = {
    "logits": Logits(positions="all"),
    "hidden_states": HiddenStates(mapping={"name": "last_k"}, projection="none"),
    "cosine": Cosine(),
    "embeddings": Embeddings(projection="none"),
    "relations": Relations(heads=8),
    "relations of the layer below": Relations(heads=4, teacher_layer=3, student_layer=3),
    "relations after RoPE": Relations(heads=2, rope="after"),
    "qkv": Qkv(heads=8),
    "attention_probs": AttentionProbs(),
    "attention_scores": AttentionScores(mapping={"name": "last_k"}),
}


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_zero_where_student_is_teacher_and_a_step_down_its_gradient_lowers_it(
    model_type: str, name: str
) -> None:
    term, batch = TERMS[name], make_batch(lengths=(9, 4, 6))
    teacher, student = tiny_model(model_type), tiny_model(model_type)
    shape = shape_of_config(student.config.to_dict(), "tiny", mlm_head=True)
    if problems := list(term.problems(shape, shape)):
        added = FAMILIES[model_type].added_to_scores
        refused = "does not rotate" if isinstance(term, Relations) else f"adds {added} to Q·Kᵀ"
        assert [refused in problem.message for problem in problems] == [True]
        return
    objective = build_objective([term], shape, shape)
    for parameter in objective.parameters():
        parameter.data.copy_(torch.eye(parameter.shape[-1]).expand_as(parameter))
    read = Tapped(teacher, objective.teacher_needs, frozen=True)(batch)

    def loss() -> torch.Tensor:
        return torch.stack(
            list(objective(read, Tapped(student, objective.student_needs)(batch), batch).values())
        ).sum()

    assert loss().item() == pytest.approx(0, abs=1e-4)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    before = loss()
    before.backward()
    length = (
        sum(float(one.grad.square().sum()) for one in student.parameters() if one.grad is not None) ** 0.5
    )
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad * (0.01 / length))
    assert 0 < loss().item() < float(before)
