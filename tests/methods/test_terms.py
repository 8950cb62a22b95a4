"""Terms as declared: refusals with the numbers that would work, shorthand, formulas, and no torch."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.base import digest
from harness.methods.mappings import MAPPINGS, Uniform
from harness.methods.terms import (
    TERMS,
    AttentionProbs,
    AttentionScores,
    Cosine,
    FromEnd,
    HiddenStates,
    Layer,
    Logits,
    Qkv,
    Relations,
    TermParams,
    resolve_layer,
)
from harness.shapes import Shape

TEACHER = Shape(12, 768, 12, 3072, 30522, "bert", mlm_head=True)
NARROW = Shape(6, 312, 6, 1200, 30522, "bert", mlm_head=False)
SAME = Shape(6, 768, 12, 3072, 30522, "bert", mlm_head=False)


def problems(params: TermParams, student: Shape = NARROW) -> dict[tuple[str | int, ...], str]:
    return {problem.field: problem.message for problem in params.problems(TEACHER, student)}


def test_every_term_and_mapping_of_the_definitions_is_registered() -> None:
    assert set(TERMS) == {
        "logits", "mlm", "hidden_states", "cosine", "relations", "qkv", "attention_probs", "attention_scores",
        "embeddings",
    }  # fmt: skip
    assert set(MAPPINGS) == {
        "last", "last_k", "uniform", "uniform_consecutive", "uniform_last", "reverse",
        "emd", "greedy", "attention", "random",
    }  # fmt: skip


@pytest.mark.parametrize("params", [Relations(), Qkv()], ids=lambda params: params.term)
def test_relation_heads_that_do_not_divide_both_widths_are_refused(
    params: TermParams,
) -> None:
    message = problems(params)["heads",]
    assert "768" in message
    assert "312" in message
    assert "1, 2, 3, 4, 6, 8, 12, 24 would work" in message
    assert not problems(params, SAME)


def test_whole_projections_have_no_heads_to_divide() -> None:
    assert not problems(Qkv(heads="whole"))


@pytest.mark.parametrize("layer", [13, {"from_end": 12}])
def test_a_layer_that_does_not_exist_is_refused(layer: object) -> None:
    params = Relations.model_validate({"teacher_layer": layer, "heads": 12})
    message = problems(params)["teacher_layer",]
    assert "the teacher has 12 layers" in message
    assert "would work" in message


@pytest.mark.parametrize("params", [AttentionProbs(), AttentionScores()], ids=lambda params: params.term)
def test_attention_across_different_head_counts_is_refused(params: TermParams) -> None:
    assert "a student of 12 heads would work" in problems(params)["term",]
    assert not problems(params, SAME)


@pytest.mark.parametrize(
    "params", [Cosine(), HiddenStates(projection="none")], ids=lambda params: params.term
)
def test_states_of_different_widths_need_a_projection(params: TermParams) -> None:
    assert "`projection: linear` or a student of width 768 would work" in problems(params)["projection",]
    assert not problems(params, SAME)


def test_problems_of_a_mapping_are_reported_below_it() -> None:
    mapping = {"name": "uniform_consecutive", "variant": "half_open"}
    student = Shape(5, 768, 12, 3072, 30522, "bert", mlm_head=False)
    found = problems(HiddenStates.model_validate({"mapping": mapping}), student)
    assert ("mapping", "variant") in found


def test_pair_weights_are_counted() -> None:
    found = problems(HiddenStates(pair_weights=(1.0, 2.0)))
    assert "6 weights would work" in found["pair_weights",]
    assert "(1, 2)" in found["pair_weights",]
    dynamic = HiddenStates.model_validate({"mapping": "emd", "pair_weights": [1]})
    assert ("pair_weights",) in problems(dynamic)


def test_different_vocabularies_are_refused() -> None:
    other = Shape(6, 768, 12, 3072, 100, "bert", mlm_head=False)
    assert "30522 would work" in problems(Logits(), other)["term",]


def test_a_blend_has_no_pairs_to_project_apart() -> None:
    params = HiddenStates.model_validate({"mapping": "attention", "projection": "per_pair"})
    assert "`linear` or `shared_linear` would work" in problems(params)["projection",]


def test_a_bare_name_is_a_mapping() -> None:
    assert HiddenStates.model_validate({"mapping": "uniform"}).mapping == Uniform()


@pytest.mark.parametrize("mapping", ["emd", "greedy", "attention", "random", {"name": "emd", "every": 3}])
def test_dynamic_mappings_share_one_projection_unless_told_otherwise(mapping: object) -> None:
    assert HiddenStates.model_validate({"mapping": mapping}).projection == "shared_linear"
    assert HiddenStates.model_validate({"mapping": mapping, "projection": "linear"}).projection == "linear"


def test_what_is_left_out_and_what_is_written_out_are_the_same_question() -> None:
    written = {"term": "relations", "pairs": ["qq", "kk", "vv"], "weights": [1 / 3] * 3, "heads": 48}
    assert digest(Relations()) == digest(Relations.model_validate(written))
    assert digest(HiddenStates()) == digest(HiddenStates.model_validate({"mapping": "uniform"}))


@pytest.mark.parametrize(
    ("term", "options", "words"),
    [
        (Relations, {"pairs": ["qq", "qq"]}, "named twice"),
        (Relations, {"pairs": ["qq"], "weights": [1, 1]}, "2 weights for 1 pair;"),
        (Relations, {"pairs": ["qx"]}, "'qq'"),
        (Relations, {"teacher_layer": "lst"}, "'last'"),
        (Relations, {"teacher_layer": 0}, "greater than or equal to 1"),
        (Qkv, {"heads": "hole"}, "'whole'"),
        (AttentionProbs, {"mapping": "last", "teacher_layer": 3}, "not both"),
        (AttentionScores, {"mapping": "emd"}, "static mapping"),
        (Logits, {"temperature": 0}, "greater than 0"),
        (Logits, {"weight": float("inf")}, "finite"),
        (HiddenStates, {"mapping": {"name": "uniform", "k": 2}}, "Extra inputs"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_once(
    term: type[TermParams], options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError) as error:
        term.model_validate(options)
    assert error.value.error_count() == 1
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("selector", "layer"), [("last", 12), (3, 3), ({"from_end": 0}, 12), ({"from_end": 2}, 10)]
)
def test_layers_are_named_from_either_end(selector: object, layer: int) -> None:
    read: int | str | FromEnd = TypeAdapter(Layer).validate_python(selector)
    assert resolve_layer(read, TEACHER) == layer


MODERN = Shape(
    22, 768, 12, 1152, 50368, "modernbert", mlm_head=True,
    layer_types=("full", *("sliding", "sliding", "full") * 7), window=64,
)  # fmt: skip


@pytest.mark.parametrize(
    ("selector", "layer"),
    [
        ("last_full", 22),
        ({"from_end": 1, "type": "full"}, 19),
        ({"from_end": 0, "type": "sliding"}, 21),
        ({"from_end": 2, "type": "sliding"}, 18),
        ({"from_end": 2}, 20),
    ],
)
def test_layers_are_counted_by_the_kind_of_their_attention(selector: object, layer: int) -> None:
    read: int | str | FromEnd = TypeAdapter(Layer).validate_python(selector)
    assert resolve_layer(read, MODERN) == layer
    assert resolve_layer(TypeAdapter(Layer).validate_python("last_full"), TEACHER) == TEACHER.layers


@pytest.mark.parametrize(
    ("options", "teacher", "field", "words"),
    [
        (
            {"teacher_layer": {"from_end": 8, "type": "full"}},
            MODERN,
            "teacher_layer",
            "has 8 full layers, .* type: full}",
        ),
        ({"teacher_layer": {"from_end": 0, "type": "sliding"}}, SAME, "teacher_layer", "`last` would work"),
        (
            {"rope": "after"},
            SAME,
            "rope",
            "'bert' does not rotate queries and keys; `rope: before` would work",
        ),
        ({"rope": "after"}, MODERN, "heads", r"48 relation heads .* \(12\) .*; 1, 2, 3, 4, 6, 12 would work"),
        ({"window": True}, MODERN, "window", "layer 22 see all others, .* teacher_layer 2, 3, 5"),
        ({"window": True}, SAME, "window", "so it has no window; `window: false` would work"),
    ],
)
def test_what_a_family_cannot_give_is_refused_with_what_would_work(
    options: dict[str, object], teacher: Shape, field: str, words: str
) -> None:
    params = Relations.model_validate({"heads": 48, **options})
    found = {problem.field: problem.message for problem in params.problems(teacher, teacher)}
    assert re.search(words, found[field,])
    assert len(found) == 1


def test_a_layer_spelt_two_ways_is_one_question() -> None:
    spelt = Relations.model_validate({"teacher_layer": {"from_end": 0, "type": "full"}})
    assert digest(spelt) == digest(Relations(teacher_layer="last_full")) != digest(Relations())
    assert "teacher layer L_T(full)−1" in Relations(teacher_layer=FromEnd(from_end=1, type="full")).formula()


@pytest.mark.parametrize("params", TERMS.values(), ids=list(TERMS))
def test_a_formula_is_one_line_of_its_own(params: type[TermParams]) -> None:
    formula = params().formula()
    assert "\n" not in formula
    assert formula != params().term


def test_formulas_show_the_parameters() -> None:
    assert Logits(temperature=2).formula().startswith("2²·KL(softmax(z_T/2)")
    assert "12 relation heads" in Relations(heads=12).formula()
    assert "teacher layer L_T−1" in Relations(teacher_layer=FromEnd(from_end=1)).formula()


@pytest.mark.parametrize("params", TERMS.values(), ids=list(TERMS))
def test_every_field_is_described_for_the_reference(params: type[TermParams]) -> None:
    undescribed = [
        name for name, field in params.model_fields.items() if name != "term" and not field.description
    ]
    assert not undescribed
    properties = params.model_json_schema()["properties"]
    assert set(properties) == set(params.model_fields)


def test_the_schema_offers_mappings_by_name_too() -> None:
    mapping = HiddenStates.model_json_schema()["properties"]["mapping"]
    assert {"type": "string", "enum": list(MAPPINGS)} in mapping["anyOf"]


def test_declaring_terms_needs_no_torch() -> None:
    code = "import sys, harness.methods.terms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_mapping_registered_by_a_plugin_is_one_of_the_choices() -> None:
    code = """
from typing import Literal
from harness.methods.mappings.mapping import MAPPINGS, StaticMapping
from harness.methods.terms import HiddenStates

class First(StaticMapping):
    name: Literal["first"] = "first"
    def layers(self, teacher_layers, student_layers):
        return {i: (i,) for i in range(1, student_layers + 1)}

MAPPINGS.register("first", First)
print(HiddenStates.model_validate({"mapping": "first"}).mapping.layers(12, 2))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "{1: (1,), 2: (2,)}"
