"""ModernBERT: what is tapped is what its own attention computes, and relations are those of the definition."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.modernbert import modeling_modernbert

from harness.families import family_of
from harness.methods.loss import Activations, Needs
from harness.methods.objective import build_objective
from harness.methods.terms import AttentionProbs, AttentionScores, Relations
from harness.models.configs import resized
from harness.models.random_encoder import build_encoder
from harness.models.taps import Tapped
from harness.shapes import Shape, shape_of_config

from .tiny import make_batch, tiny_config, tiny_model

BATCHES = {"full": make_batch(), "padded": make_batch(lengths=(9, 4, 6))}
EVERYTHING = Needs(hidden=frozenset(range(5)), qkv=frozenset(range(1, 5)))
WINDOW = 2
FULL, SLIDING = 4, 3
"""Layers of the tiny model, 1-based: full, sliding, sliding, full."""


def shape_of(model: PreTrainedModel) -> Shape:
    return shape_of_config(model.config.to_dict(), "tiny", mlm_head=True)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_queries_keys_and_values_are_those_inside_its_own_attention(
    batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    attend = modeling_modernbert.eager_attention_forward

    def recording(module, query, key, value, *rest, **options):
        seen.append(tuple(one.transpose(1, 2).flatten(2) for one in (query, key, value)))
        return attend(module, query, key, value, *rest, **options)

    model = tiny_model("modernbert")
    tapped = Tapped(model, EVERYTHING, frozen=True)(batch)
    model.set_attn_implementation("eager")
    monkeypatch.setattr(modeling_modernbert, "eager_attention_forward", recording)
    with torch.no_grad():
        model(batch.input_ids, attention_mask=batch.attention_mask)
    real = batch.attention_mask
    for layer, (query, key, value) in enumerate(seen, start=1):
        for own, inside in zip(
            (*tapped.attended(layer), tapped.qkv[layer].value), (query, key, value), strict=True
        ):
            torch.testing.assert_close(own[real], inside[real], rtol=1e-5, atol=1e-5)
        assert not torch.allclose(tapped.qkv[layer].query[:, 1:], query[:, 1:], atol=1e-2)
    assert len(seen) == 4


def test_the_last_state_is_what_the_head_reads_and_the_others_are_not_normalised() -> None:
    model = tiny_model("modernbert")
    tapped = Tapped(model, EVERYTHING, frozen=True)(BATCHES["full"])
    run = model.base_model(BATCHES["full"].input_ids)
    torch.testing.assert_close(tapped.hidden[4], run.last_hidden_state)
    norm = model.base_model.final_norm
    assert not torch.allclose(norm(tapped.hidden[3]), tapped.hidden[3], atol=1e-2)


def rotated(x: Tensor, head_size: int, theta: float) -> Tensor:
    """One example, (tokens, width): coordinates k and k + half of each head turned by position · theta^(−2k/size)."""
    out = x.clone()
    half = head_size // 2
    for head in range(x.shape[1] // head_size):
        for k in range(half):
            a, b = head * head_size + k, head * head_size + k + half
            angles = torch.arange(len(x), dtype=torch.float64) * theta ** (-2 * k / head_size)
            out[:, a] = x[:, a] * angles.cos() - x[:, b] * angles.sin()
            out[:, b] = x[:, b] * angles.cos() + x[:, a] * angles.sin()
    return out


def relation(x: Tensor, heads: int, head: int, window: int | None) -> Tensor:
    """log softmax(x xᵀ/√d_r) of one relation head of one example."""
    width = x.shape[1] // heads
    part = x[:, head * width : (head + 1) * width]
    scores = part @ part.T / math.sqrt(width)
    if window is not None:
        apart = (torch.arange(len(x))[:, None] - torch.arange(len(x))).abs()
        scores = scores.masked_fill(apart > window, -math.inf)
    return scores.log_softmax(1)


def by_definition(
    teacher: Activations, student: Activations, lengths: list[int], term: Relations, theta: float, layer: int
) -> Tensor:
    """MiniLMv2's loss written out for one example, relation and head after another."""
    total = torch.zeros((), dtype=torch.float64)
    window = WINDOW if term.window else None
    for row, length in enumerate(lengths):
        for name in ("query", "key", "value"):
            both = [
                getattr(one.qkv[number], name)[row, :length]
                for one, number in ((teacher, layer), (student, 2))
            ]
            if term.rope == "after" and name != "value":
                both[0] = rotated(both[0], 8, theta)
                both[1] = rotated(both[1], 8, 160_000.0)  # the student's last layer is full
            for head in range(term.heads):
                p, q = (relation(one, term.heads, head, window) for one in both)
                kl = torch.where(p.isfinite(), p.exp() * (p - q), 0.0).sum()
                total = total + kl / (3 * term.heads * length * len(lengths))
    return total


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (FULL, {"heads": 8}),
        (SLIDING, {"heads": 8}),
        (SLIDING, {"heads": 8, "window": True}),
        (FULL, {"heads": 2, "rope": "after"}),
        (SLIDING, {"heads": 2, "rope": "after"}),
        (SLIDING, {"heads": 2, "rope": "after", "window": True}),
    ],
)
def test_relations_are_those_of_the_definition_in_value_and_gradient(
    batch, layer: int, options: dict
) -> None:
    big, small = (
        tiny_model("modernbert").double(),
        tiny_model("modernbert", seed=1, layers=2, width=16, heads=2).double(),
    )
    small = build_encoder(
        resized(small.config, replace(shape_of(small), layer_types=("sliding", "full"))), 1
    ).double()
    term = Relations(teacher_layer=layer, **options)
    assert not list(term.problems(shape_of(big), shape_of(small)))
    objective = build_objective((term,), shape_of(big), shape_of(small))
    teacher = Tapped(big, objective.teacher_needs, frozen=True)(batch)
    student = Tapped(small, objective.student_needs)(batch)
    weight = family_of(small).layers(small)[1].attn.Wqkv.weight
    lengths = batch.attention_mask.sum(1).tolist()
    expected = by_definition(teacher, student, lengths, term, 160_000.0 if layer == FULL else 10_000.0, layer)
    (gradient,) = torch.autograd.grad(expected, weight, retain_graph=True)
    loss = objective(teacher, student, batch)["relations"] / len(lengths)
    (found,) = torch.autograd.grad(loss, weight)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found, gradient, rtol=1e-6, atol=1e-8)
    assert gradient.abs().max() > 1e-4


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_attention_terms_compare_the_distributions_of_its_own_attention(batch) -> None:
    big, small = (tiny_model("modernbert", seed=seed) for seed in (0, 1))
    for model in (big, small):
        model.set_attn_implementation("eager")
    term = AttentionProbs.model_validate({"teacher_layer": SLIDING, "student_layer": SLIDING})
    objective = build_objective((term,), shape_of(big), shape_of(small))
    found = objective(
        Tapped(big, objective.teacher_needs, frozen=True)(batch),
        Tapped(small, objective.student_needs)(batch),
        batch,
    )["attention_probs"]
    p, q = (
        model(batch.input_ids, attention_mask=batch.attention_mask, output_attentions=True).attentions[
            SLIDING - 1
        ]
        for model in (big, small)
    )
    rows = torch.where(p > 0, p * (p.clamp_min(1e-30).log() - q.clamp_min(1e-30).log()), 0.0).sum(-1)
    real = batch.attention_mask[:, None].float()
    expected = ((rows * real).sum((1, 2)) / (4 * real.sum((1, 2)))).sum()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_pairs_of_a_full_and_a_sliding_layer_are_compared_where_both_see() -> None:
    shape = shape_of(tiny_model("modernbert"))
    assert AttentionScores().window(shape, shape, FULL, SLIDING) == WINDOW
    assert AttentionScores().window(shape, shape, SLIDING, FULL) == WINDOW
    assert AttentionScores().window(shape, shape, FULL, FULL) is None


@pytest.mark.parametrize(
    ("layers", "types"),
    [
        (4, "full sliding sliding full"),
        (3, "sliding sliding full"),
        (1, "full"),
        (6, "sliding full full sliding sliding full"),
    ],
)
def test_a_students_last_layer_attends_to_all_positions(layers: int, types: str) -> None:
    teacher = shape_of(tiny_model("modernbert"))
    assert teacher.types_at(layers) == tuple(types.split())
    cut = replace(teacher, layers=3, layer_types=teacher.layer_types[:3])
    assert cut.types_at(2) == ("sliding", "full")
    config = resized(
        tiny_config("modernbert"), replace(teacher, layers=layers, layer_types=teacher.types_at(layers))
    )
    assert config.layer_types == [f"{one}_attention" for one in types.split()]
