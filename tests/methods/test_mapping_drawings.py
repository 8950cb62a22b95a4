"""The text picture of a mapping."""

from harness.methods.mappings import Emd, Last, Uniform, UniformConsecutive
from harness.methods.mappings.draw import draw, picture


def test_each_pair_is_a_dot_under_its_teacher_layer() -> None:
    assert picture(Uniform(), 6, 3).splitlines() == [
        "  teacher  1 2 3 4 5 6",
        "student 1  · ● · · · ·",
        "        2  · · · ● · ·",
        "        3  · · · · · ●",
    ]


def test_the_embedding_output_is_shown_where_it_is_paired() -> None:
    assert draw(UniformConsecutive().layers(4, 2), 4, 2).splitlines() == [
        "  teacher  0 1 2 3 4",
        "student 1  ● ● ● · ·",
        "        2  · · ● ● ●",
    ]


def test_layers_that_no_teacher_layer_serves_are_marked() -> None:
    assert picture(Last(), 12, 2).splitlines()[1].endswith("no teacher layer")


def test_a_dynamic_mapping_says_its_rule_and_how_often_it_is_renewed() -> None:
    assert "every 7 steps" in picture(Emd(every=7), 12, 6)
    assert "argmin" in picture(Emd(), 12, 6)
