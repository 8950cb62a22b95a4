"""The methods shipped as YAML: their names, families, sources, and the shapes they serve."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from harness.cli import main
from harness.methods.terms.attention import AttentionProbs
from harness.shapes import Shape
from harness.spec.entries import Method

FOLDER = Path(__file__).parents[2] / "specs" / "methods"
FAMILIES = {  # the methods that the study's definitions list
    "control": ["initialised-only", "mlm-only", "scratch", "truncated-teacher"],
    "OD": ["od", "od-mlm", "od-t2"],
    "HS": [
        "hs-attention", "hs-emd", "hs-greedy", "hs-last", "hs-last-k", "hs-random", "hs-reverse", "hs-skip",
        "hs-uniform", "hs-uniform-consecutive", "hs-uniform-consecutive-half-open", "hs-uniform-last",
    ],
    "MHA": ["direct-minilm", "minilm", "minilmv2"],
    "composite": ["distilbert", "pkd", "tinybert"],
}  # fmt: skip
PAPERS = {
    "1503.02531": "Hinton",
    "1810.04805": "Devlin",
    "1908.09355": "Sun",
    "1909.10351": "Jiao",
    "1910.01108": "Sanh",
    "2002.10957": "Wang",
    "2004.03844": "Sajjad",
    "2010.06133": "Li",
    "2012.14022": "Passban",
    "2012.15828": "Wang",
    "2109.10164": "Haidar",
    "2310.08797": "Udagawa",
}
"""arXiv id -> first author, looked up one by one."""
TEACHER = Shape(12, 768, 12, 3072, 30522, "bert", mlm_head=True)


def shipped() -> dict[str, Method]:
    """File name without its ending -> the method."""
    yaml = YAML(typ="safe")
    return {path.stem: Method.model_validate(yaml.load(path)) for path in sorted(FOLDER.glob("*.yaml"))}


METHODS = shipped()


def test_the_shipped_methods_are_those_of_the_definitions() -> None:
    found: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        assert method.name == name
        found.setdefault(method.family, []).append(name)
    assert {family: sorted(names) for family, names in found.items()} == FAMILIES


def test_the_command_line_lists_the_same_methods(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["methods", "--json"])
    listed: dict[str, list[str]] = {}
    for entry in json.loads(capsys.readouterr().out):
        listed.setdefault(entry["family"], []).append(entry["name"])
    assert {family: sorted(names) for family, names in listed.items()} == FAMILIES


def test_a_method_is_drawn_for_a_teacher_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["methods", "minilmv2", "--teacher", "modernbert-base", "--student-layers", "4"])
    assert not ended.value.code
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "student layer 4 of 4 (full attention) learns from teacher layer 22 of 22 (full attention)" in shown
    )
    assert "teacher FssFssFssFssFssFssFssF, student FssF" in shown


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_a_method_says_what_it_is_and_where_it_comes_from(method: Method) -> None:
    assert method.summary
    cited = re.findall(r"([A-Z]\w+) et al\., [^(]*\(arXiv (\d{4}\.\d{5})\)", method.source)
    assert len(cited) == method.source.count("arXiv")
    assert all(PAPERS[number] == author for author, number in cited)
    assert bool(cited) != ("of our own" in method.source)


def test_every_paper_is_cited_by_a_method() -> None:
    sources = " ".join(method.source for method in METHODS.values())
    assert all(number in sources for number in PAPERS)


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
@pytest.mark.parametrize("layers", [6, 4, 3])
def test_every_method_serves_a_student_of_the_teachers_width_and_heads(method: Method, layers: int) -> None:
    student = Shape(layers, 768, 12, 3072, 30522, "bert", mlm_head=False)
    assert not list(method.problems(TEACHER, student))
    assert method.init is None or not list(method.init.problems(TEACHER, student))


@pytest.mark.parametrize("width", [384, 192])
@pytest.mark.parametrize("name", [*FAMILIES["HS"], *FAMILIES["MHA"]])
def test_hidden_state_and_attention_methods_serve_narrower_students(name: str, width: int) -> None:
    for teacher_width in (768, 384):
        teacher = Shape(12, teacher_width, 12, 4 * teacher_width, 30522, "bert", mlm_head=False)
        student = Shape(3, width, 12, 4 * width, 30522, "bert", mlm_head=False)
        assert not list(METHODS[name].problems(teacher, student))


def test_which_methods_read_and_train_the_masked_lm_head() -> None:
    trained = {name for name, method in METHODS.items() if method.trains_mlm_head}
    assert trained == {"mlm-only", "od", "od-t2", "od-mlm", "distilbert", "pkd"}
    assert {name for name, method in METHODS.items() if method.needs_mlm_head} == trained - {"mlm-only"}


def test_a_method_with_every_default_written_out_is_the_same_method() -> None:
    one_pair = AttentionProbs(teacher_layer=2)
    assert AttentionProbs.model_validate(one_pair.model_dump(mode="json")) == one_pair
    for entry in METHODS.values():
        assert Method.model_validate_json(entry.model_dump_json()) == entry


def test_distilbert_starts_as_its_authors_script_does() -> None:
    """0-based layers 0, 2, 4, 7, 9, 11 of twelve."""
    init = METHODS["distilbert"].init
    assert init is not None
    assert init.copied_layers(12, 6) == [1, 3, 5, 8, 10, 12]


def test_pkds_states_have_the_weight_of_the_named_re_implementation() -> None:
    states, logits = METHODS["pkd"].objective
    assert (states.weight, logits.weight) == (100, 1)
    assert "MetaDistil" in METHODS["pkd"].source
