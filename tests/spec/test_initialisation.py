"""Which teacher layers a student starts as, for any two depths."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.shapes import Shape
from harness.spec.grid import init_label
from harness.spec.initialisation import Initialisation


def copying(layers: object) -> Initialisation:
    return Initialisation.model_validate({"from": "teacher", "layers": layers})


def deep(layers: int) -> Shape:
    return Shape(layers, 32, 4, 64, 100, "bert", mlm_head=False)


def test_distilbert_copies_the_layers_of_its_authors_script() -> None:
    assert copying("distilbert").copied_layers(12, 6) == [1, 3, 5, 8, 10, 12]


depths = st.integers(1, 48).flatmap(lambda teacher: st.tuples(st.just(teacher), st.integers(1, teacher)))


@given(depths, st.sampled_from(["first", "last", "alternate", "distilbert"]))
def test_a_rule_copies_different_layers_in_their_order(both: tuple[int, int], rule: str) -> None:
    teacher, student = both
    layers = copying(rule).copied_layers(teacher, student)
    assert not list(copying(rule).problems(deep(teacher), deep(student)))
    assert len(layers) == student
    assert all(1 <= layer <= teacher for layer in layers)
    assert all(lower < upper for lower, upper in pairwise(layers))


@given(depths.filter(lambda both: both[1] > 1))
def test_distilbert_keeps_both_ends_and_even_gaps(both: tuple[int, int]) -> None:
    teacher, student = both
    layers = copying("distilbert").copied_layers(teacher, student)
    gaps = {upper - lower for lower, upper in pairwise(layers)}
    assert (layers[0], layers[-1]) == (1, teacher)
    assert max(gaps) - min(gaps) <= 1


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 16), st.integers(1, 16))
def test_a_list_is_copied_as_written_where_teacher_and_student_have_such_layers(
    layers: list[int], teacher: int, student: int
) -> None:
    init = copying(layers)
    fits = len(layers) == student and max(layers) <= teacher
    assert (not list(init.problems(deep(teacher), deep(student)))) == fits
    if fits:
        assert init.copied_layers(teacher, student) == layers


@pytest.mark.parametrize("layers", ["second", [0], [1, "2"], [1.5], 3, None])
def test_what_names_no_layers_is_refused(layers: object) -> None:
    with pytest.raises(ValidationError):
        copying(layers)


def test_a_list_of_layers_has_a_name_of_its_own() -> None:
    assert init_label(copying([1, 3, 5])) == "teacher:1-3-5"


def sized(width: int, heads: int, ffn: int, layers: int = 2) -> Shape:
    return Shape(layers, width, heads, ffn, 100, "bert", mlm_head=False)


TEACHER = sized(64, 4, 128, layers=4)


@given(st.sampled_from([8, 16, 32, 48, 64, 96, 128]), st.sampled_from([1, 2, 4, 8]), st.integers(8, 256))
def test_layers_are_projected_on_what_is_nowhere_larger_and_random_ones_on_any_narrower_student(
    width: int, heads: int, ffn: int
) -> None:
    student = sized(width, heads, ffn)
    fits = width <= 64 and heads <= 4 and width // heads <= 16 and ffn <= 128
    assert (not list(copying("alternate").problems(TEACHER, student))) == fits
    assert (not list(copying("random").problems(TEACHER, student))) == (width <= 64)
    assert copying("random").copied_layers(4, 2) is None


def test_head_counts_that_would_work_are_named() -> None:
    [problem] = copying("alternate").problems(TEACHER, sized(32, 8, 128))
    assert "heads: 2 or 4 would work, and `layers: random` takes any" in problem.message
    [problem] = copying("alternate").problems(TEACHER, sized(33, 1, 128))
    assert problem.message.endswith(
        "the student has 1 of 33; heads: 3 would work, and `layers: random` takes any"
    )


def test_random_layers_have_a_name_of_their_own() -> None:
    assert init_label(copying("random")) == "teacher:random"
