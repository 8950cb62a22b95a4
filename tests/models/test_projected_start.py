"""A student narrower than its teacher starts as its projection, in every family, by the formulas of docs/methods.md."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from harness.errors import InputError
from harness.families import family_of
from harness.models.loaded import LoadedModel
from harness.models.projected_start import low_rank, strongest, width_projection
from harness.models.students import build_student
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation

from .tiny import make_batch

SIZES = [(24, 4, 40), (16, 2, 48), (8, 1, 8), (16, 4, 20), (32, 4, 30)]
"""Width, heads, FFN of students of the tiny teacher (32, 4, 48): smaller heads, fewer heads, both, one."""


def cannot_start(teacher: LoadedModel, size: tuple[int, int, int]) -> bool:
    """Whether a family refuses this size: one that rotates coordinates of a head by position keeps the head's size."""
    family = family_of(teacher.model)
    if family.rotary and size[0] // size[1] != 8:
        message = r"needs its head size 8, the student's is .: modernbert rotates"
    elif family.added_to_scores and size[1] != 4:
        message = r"needs its 4 heads, the student has .: each head of mpnet adds a bias"
    else:
        return False
    with pytest.raises(InputError, match=message):
        start(teacher, size)
    return True


def start(
    teacher: LoadedModel, size: tuple[int, int, int], layers: object = "alternate", seed: int = 1
) -> PreTrainedModel:
    width, heads, ffn = size
    student = Student(name="s", layers=2, width=width, heads=heads, ffn=ffn)
    init = Initialisation.model_validate({"from": "teacher", "layers": layers})
    return build_student(teacher, student, init, seed=seed).eval()


def fitting_heads(teacher: LoadedModel, width: int) -> int:
    """Heads of a student of this width that every family starts: of the teacher's size, or as many as it has."""
    return 4 if family_of(teacher.model).added_to_scores else width // 8


def numpys_directions(teacher: LoadedModel, width: int) -> np.ndarray:
    """(32, width), by NumPy's singular value decomposition; the sign rule is ours."""
    rows = teacher.model.get_input_embeddings().weight.detach().double().numpy()
    _, _, v = np.linalg.svd(rows - rows.mean(0))
    columns = v[:width].T
    largest = columns[np.abs(columns).argmax(0), np.arange(width)]
    return columns * np.where(largest < 0, -1, 1)


@pytest.mark.parametrize("width", [8, 16, 24])
@pytest.mark.parametrize("layers", ["random", "alternate"])
def test_every_table_is_projected_and_its_norm_follows(teacher: LoadedModel, width: int, layers: str) -> None:
    model = start(
        teacher, (width, 2, 16) if layers == "random" else (width, fitting_heads(teacher, width), 16), layers
    )
    p = numpys_directions(teacher, width)
    family = family_of(model)
    source = family.embeddings(teacher.model).state_dict()
    target = family.embeddings(model).state_dict()
    kept = width_projection(teacher, width).variance_kept
    assert source.keys() == target.keys()
    for name, value in target.items():
        before = source[name].double().numpy()
        if name.lower().endswith("norm.weight"):
            wanted = (before @ p**2) * math.sqrt(kept * 32 / width)
        elif before.dtype == np.float64 and before.ndim and before.shape[-1] == 32:
            wanted = before @ p
        else:
            wanted = before
        assert value.double().numpy() == pytest.approx(wanted, abs=1e-5), name


def test_random_layers_are_those_of_a_random_start_with_the_same_seed(teacher: LoadedModel) -> None:
    student = Student(name="s", layers=6, width=16, heads=16, ffn=100)
    init = Initialisation.model_validate({"from": "teacher", "layers": "random"})
    projected = build_student(teacher, student, init, seed=3)
    drawn = build_student(teacher, student, Initialisation(), seed=3)
    family = family_of(projected)
    for name, value in family.layers(drawn).state_dict().items():
        assert torch.equal(value, family.layers(projected).state_dict()[name])
    assert not torch.equal(projected.get_input_embeddings().weight, drawn.get_input_embeddings().weight)


def test_equal_sizes_are_copied_to_the_bit_and_need_no_directions(teacher: LoadedModel) -> None:
    copied = (
        (1, 2) if teacher.shape.model_type == "modernbert" else (4, 2)
    )  # its first layer has one norm less
    model = start(teacher, (32, 4, 48), list(copied))
    family = family_of(model)
    for number, layer in zip(copied, family.layers(model), strict=True):
        wanted = family.layers(teacher.model)[number - 1].state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in layer.state_dict().items())
    whole = teacher.model.state_dict()
    rest = {
        name: value
        for name, value in model.state_dict().items()
        if ".layer." not in name and ".layers." not in name
    }
    assert all(torch.equal(value, whole[name]) for name, value in rest.items())
    assert "principal_directions" not in vars(teacher)


def test_equal_widths_and_fewer_neurons_keep_the_strongest_of_them_as_they_are(teacher: LoadedModel) -> None:
    model = start(teacher, (32, 4, 30), "first")
    family = family_of(model)
    for source, target in zip(list(family.layers(teacher.model))[:2], family.layers(model), strict=True):
        mine, its = family.parts(source), family.parts(target)
        strengths = mine.inner.weight.norm(dim=1) * mine.outer.weight.norm(dim=0)
        if mine.gate is not None:
            strengths = strengths * mine.gate.weight.norm(dim=1)
            assert not torch.equal(its.gate.weight, mine.gate.weight[:30])
        kept = strengths.argsort(descending=True)[:30].sort().values
        assert torch.equal(its.inner.weight, mine.inner.weight[kept])
        if mine.inner.bias is not None:
            assert torch.equal(its.inner.bias, mine.inner.bias[kept])
        if mine.gate is not None:
            assert torch.equal(its.gate.weight, mine.gate.weight[kept])
        assert torch.equal(its.outer.weight, mine.outer.weight[:, kept])
        for part in ("query", "key", "value"):
            have, want = (getattr(family.projections(one), part) for one in (target, source))
            assert torch.equal(have.weight, want.weight)


@pytest.mark.parametrize("size", SIZES)
def test_heads_score_and_write_as_the_best_approximation_of_the_teachers(
    teacher: LoadedModel, size: tuple[int, int, int]
) -> None:
    """With NumPy: of each head that is kept, what queries and keys make of two states, and values and output of one."""
    if cannot_start(teacher, size):
        return
    width, heads, _ = size
    p = numpys_directions(teacher, width) if width < 32 else np.eye(32)
    model = start(teacher, size, "first")
    family = family_of(model)
    source, target = family.layers(teacher.model)[0], family.layers(model)[0]
    wide, narrow = (_forms(family, layer, count) for layer, count in ((source, 4), (target, heads)))
    lift = np.zeros((33, width + 1))
    lift[:32, :width], lift[32, width] = p, 1
    scores = [lift.T @ one @ lift / math.sqrt(8) for one in wide[0]]
    writes = [p.T @ one @ lift for one in wide[1]]
    strengths = [np.linalg.norm(one[:, :-1]) for one in writes]
    kept = sorted(np.argsort(strengths)[::-1][:heads])
    rank = width // heads
    for got, head in zip(narrow[0], kept, strict=True):
        assert got / math.sqrt(rank) == pytest.approx(_of_rank(scores[head], rank), abs=1e-4)
    for got, head in zip(narrow[1], kept, strict=True):
        assert got == pytest.approx(_of_rank(writes[head], rank), abs=1e-4)


def _forms(family, layer, heads: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each head: the bilinear form of its scores, before they are divided, and its map from states to states; the last
    index of an input is the constant 1."""

    def joined(module) -> np.ndarray:
        weight = module.weight.detach().double().numpy()
        bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().double().numpy()
        return np.concatenate([weight, bias[:, None]], axis=1)

    maps = family.projections(layer)
    query, key, value = (np.split(joined(one), heads) for one in (maps.query, maps.key, maps.value))
    output = np.split(family.parts(layer).attention_output.weight.detach().double().numpy(), heads, axis=1)
    scores = [q.T @ k for q, k in zip(query, key, strict=True)]
    return scores, [o @ v for o, v in zip(output, value, strict=True)]


def _of_rank(matrix: np.ndarray, rank: int) -> np.ndarray:
    u, s, v = np.linalg.svd(matrix)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def test_the_head_is_projected_and_stays_tied(teacher: LoadedModel) -> None:
    model = start(teacher, (16, fitting_heads(teacher, 16), 16))
    p = numpys_directions(teacher, 16)
    source, target = (family_of(model).head(one) for one in (teacher.model, model))
    assert target.weight is model.get_input_embeddings().weight
    assert target.dense.weight.detach().numpy() == pytest.approx(
        p.T @ source.dense.weight.detach().double().numpy() @ p, abs=1e-5
    )
    assert torch.equal(target.bias, source.bias)


@pytest.mark.parametrize("size", SIZES)
def test_a_start_is_the_same_to_the_bit_and_depends_on_no_seed(
    teacher: LoadedModel, size: tuple[int, int, int]
) -> None:
    if cannot_start(teacher, size):
        return
    again = LoadedModel(teacher.model, teacher.tokenizer, teacher.shape, teacher.sha256)
    one, other = start(teacher, size, seed=1), start(again, size, seed=2)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert torch.isfinite(one(make_batch().input_ids).logits).all()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 2), st.data()
)
def test_low_rank_is_numpys_truncated_decomposition(
    heads: int, inner: int, a: int, b: int, scale: float, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, min(inner, a, b)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 5)))
    left, right = (torch.randn(heads, inner, n, generator=generator, dtype=torch.float64) for n in (a, b))
    narrow_left, narrow_right = low_rank(left, right, size, scale)
    assert (narrow_left.shape, narrow_right.shape) == ((heads, size, a), (heads, size, b))
    for head in range(heads):
        whole = (left[head].T @ right[head]).numpy()
        got = (narrow_left[head].T @ narrow_right[head]).numpy()
        assert got == pytest.approx(scale * _of_rank(whole, size), abs=1e-8)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_the_strongest_are_named_in_order_and_of_equals_the_first(
    strengths: list[int], data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, len(strengths)))
    by_hand = sorted(sorted(range(len(strengths)), key=lambda i: (-strengths[i], i))[:count])
    assert strongest(torch.tensor(strengths, dtype=torch.float64), count).tolist() == by_hand
