"""Static mappings: legal layers at every depth, and refusals that name what would work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.methods.mappings import (
    Emd,
    Last,
    LastK,
    Reverse,
    StaticMapping,
    Uniform,
    UniformConsecutive,
    UniformLast,
)

STATIC: list[StaticMapping] = [
    Last(),
    LastK(),
    LastK(exclude_last=True),
    Uniform(),
    Uniform(exclude_last=True),
    Uniform(include_embeddings=True),
    UniformConsecutive(variant="closed"),
    UniformConsecutive(variant="half_open", allow_empty=True),
    UniformConsecutive(variant="balanced"),
    UniformLast(),
    UniformLast(variant="final"),
    Reverse(),
]
depths = st.integers(1, 48).flatmap(lambda teacher: st.tuples(st.just(teacher), st.integers(1, teacher)))


@pytest.mark.parametrize("mapping", STATIC, ids=repr)
@given(depths=depths)
def test_a_mapping_names_only_layers_that_exist(mapping: StaticMapping, depths: tuple[int, int]) -> None:
    teacher, student = depths
    for i, layers in mapping.layers(teacher, student).items():
        assert 0 <= i <= student
        assert layers == tuple(sorted(set(layers)))
        assert layers
        assert 0 <= layers[0] <= layers[-1] <= teacher


@given(depths=depths)
def test_balanced_blocks_use_every_teacher_layer_once(depths: tuple[int, int]) -> None:
    teacher, student = depths
    layers = UniformConsecutive(variant="balanced").layers(teacher, student)
    assert [j for i in range(1, student + 1) for j in layers[i]] == list(range(1, teacher + 1))


@given(depths=depths)
def test_closed_blocks_use_every_teacher_layer_and_the_embeddings(depths: tuple[int, int]) -> None:
    teacher, student = depths
    layers = UniformConsecutive(variant="closed").layers(teacher, student)
    assert {j for js in layers.values() for j in js} == set(range(teacher + 1))
    assert len(layers) == student


@given(depths=depths)
def test_half_open_blocks_are_refused_exactly_where_some_are_empty(depths: tuple[int, int]) -> None:
    teacher, student = depths
    mapping = UniformConsecutive(variant="half_open")
    has_gap = len(mapping.layers(teacher, student)) < student
    assert bool(list(mapping.problems(teacher, student))) == has_gap


@pytest.mark.parametrize(("teacher", "student", "empty"), [(12, 5, "5"), (6, 4, "4")])
def test_a_refusal_of_half_open_blocks_names_the_empty_layers_and_the_ways_out(
    teacher, student, empty
) -> None:
    (problem,) = UniformConsecutive(variant="half_open").problems(teacher, student)
    assert problem.field == ("variant",)
    for words in (f"layer {empty} ", "variant: closed", "variant: balanced", "allow_empty: true"):
        assert words in problem.message


def test_pkd_skip_names_the_depths_that_divide_the_teachers() -> None:
    (problem,) = Uniform(exclude_last=True).problems(12, 5)
    assert "[2, 3, 4, 6, 12] would work" in problem.message
    assert not list(Uniform(exclude_last=True).problems(12, 4))


@pytest.mark.parametrize("mapping", [*STATIC, Emd()], ids=repr)
def test_a_student_deeper_than_its_teacher_is_refused(mapping: StaticMapping) -> None:
    messages = [problem.message for problem in mapping.problems(6, 7)]
    assert any("1 to 6 would work" in message for message in messages)


def test_a_mapping_that_leaves_nothing_to_learn_is_refused() -> None:
    (problem,) = LastK(exclude_last=True).problems(12, 1)
    assert "pairs no layer" in problem.message


def test_uniform_last_with_the_final_layer() -> None:
    layers = UniformLast(variant="final").layers(12, 4)
    assert layers == {1: (3, 12), 2: (6, 12), 3: (9, 12), 4: (12,)}
