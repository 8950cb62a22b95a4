"""Kernel and precision follow from the device by rule."""

from __future__ import annotations

import pytest
import torch
from models.tiny import make_batch, tiny_model

from harness.devices.placement import attention_rule, place_student, place_teacher, resolve_precision
from harness.methods.loss import Needs
from harness.models.loaded import LoadedModel
from harness.models.students import build_student
from harness.models.taps import Tapped
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_only_a_model_that_trains_on_cpu_takes_eager_attention() -> None:
    assert attention_rule(CPU, "bert", trains=True) == "eager"
    others = ((CPU, False), (GPU, True), (GPU, False))
    assert {attention_rule(device, "bert", trains) for device, trains in others} == {"sdpa"}
    assert {attention_rule(device, "mpnet", trains) for device, trains in others} == {"eager"}


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"amx_bf16": True}, "bf16"),
        ({"architecture": "aarch64", "bf16": True}, "bf16"),
        ({"avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_it_is_faster(monkeypatch, capabilities: dict, expected: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_was_asked_for_stands(precision) -> None:
    assert resolve_precision(precision, CPU) == precision


def test_a_bf16_teacher_is_transformers_own_in_bf16_frozen_and_in_eval_mode(model_type: str) -> None:
    needs = Needs(hidden=frozenset({0, 2, 4}), qkv=frozenset({3}))
    batch = make_batch(lengths=(9, 4, 6))
    model = tiny_model(model_type).train()
    exact = Tapped(tiny_model(model_type), needs, frozen=True)(batch)
    rounded = Tapped(place_teacher(model, CPU, "bf16"), needs, frozen=True)(batch)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        plain = (
            tiny_model(model_type)
            .to(torch.bfloat16)
            .base_model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
            )
        )
    real = batch.attention_mask
    for layer, states in exact.hidden.items():
        assert rounded.hidden[layer].dtype == torch.bfloat16
        assert torch.equal(rounded.hidden[layer][real], plain.hidden_states[layer][real])
        # How far bf16 is from fp32 differs from processor to processor (how products are summed): here 4 % or so.
        similar = torch.cosine_similarity(rounded.hidden[layer].float()[real], states[real], dim=-1)
        assert similar.min() > 0.99


def test_a_placed_student_trains_in_float32_under_autocast(teacher: LoadedModel) -> None:
    student = Student(name="s", layers=2, width=16, heads=2)
    model = place_student(build_student(teacher, student, Initialisation(), seed=1), CPU)
    assert model.training
    assert model.config._attn_implementation == "eager"
    with torch.autocast("cpu", torch.bfloat16):
        states = Tapped(model, Needs(hidden=frozenset({2})))(make_batch(lengths=(9, 4, 6))).hidden[2]
    states.float().square().mean().backward()
    grads = [parameter.grad for parameter in model.base_model.parameters() if parameter.grad is not None]
    assert {grad.dtype for grad in grads} == {torch.float32}
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_a_student_is_not_copied_from_a_rounded_teacher(teacher: LoadedModel) -> None:
    place_teacher(teacher.model, CPU, "bf16")
    init = Initialisation.model_validate({"from": "teacher"})
    with pytest.raises(ValueError, match="copied from it before"):
        build_student(teacher, Student(name="s", layers=2, width=32, heads=4, ffn=48), init, seed=1)
