"""One module and one registration make a family: its checkpoints are read, loaded, copied, tapped, fine-tuned, measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
)

from harness.assets.sources import Sources
from harness.errors import InputError
from harness.families import FAMILIES, family_of
from harness.methods.loss import Needs
from harness.models.classify import build_classifier
from harness.models.configs import config_of_shape
from harness.models.first_token import compute_first_token_only
from harness.models.loaded import load_tokenizer
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.models.taps import Tapped
from harness.records.trial import MeasureJob
from harness.shapes import DeclaredShape, Shape, read_shape
from harness.spec.entries import Initialisation, Student, Teacher
from harness.spec.recipes import Measure
from harness.trials.measure import measure

from .renamed_bert import (
    MODEL_TYPE,
    RenamedBert,
    RenamedConfig,
    RenamedForMaskedLM,
    RenamedForSequenceClassification,
    RenamedModel,
)
from .tiny import MODEL_TYPES as SHIPPED
from .tiny import VOCABULARY, make_batch, tiny_tokenizer

SIZE = Shape(layers=3, width=32, heads=4, ffn=48, vocabulary=VOCABULARY, model_type=MODEL_TYPE, mlm_head=True)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The family as an installed package would register it; transformers knows its classes."""
    monkeypatch.setitem(FAMILIES._entries, MODEL_TYPE, RenamedBert())
    AutoConfig.register(MODEL_TYPE, RenamedConfig, exist_ok=True)
    AutoModel.register(RenamedConfig, RenamedModel, exist_ok=True)
    AutoModelForMaskedLM.register(RenamedConfig, RenamedForMaskedLM, exist_ok=True)
    AutoModelForSequenceClassification.register(
        RenamedConfig, RenamedForSequenceClassification, exist_ok=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of the family."""
    torch.manual_seed(0)
    config = RenamedConfig(
        depth=SIZE.layers,
        breadth=SIZE.width,
        num_attention_heads=SIZE.heads,
        intermediate_size=SIZE.ffn,
        vocab_size=SIZE.vocabulary,
        max_position_embeddings=66,
        pad_token_id=1,
        initializer_range=0.3,
    )
    RenamedForMaskedLM(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_its_size_is_read_and_may_be_declared(folder: Path) -> None:
    assert read_shape(folder) == SIZE
    declared = {name: getattr(SIZE, name) for name in DeclaredShape.model_fields}
    assert DeclaredShape(**declared).model_type == MODEL_TYPE
    assert MODEL_TYPE in DeclaredShape.model_json_schema()["properties"]["model_type"]["enum"]


def test_a_size_of_a_family_that_nobody_registered_cannot_be_declared() -> None:
    declared = {name: getattr(SIZE, name) for name in DeclaredShape.model_fields}
    with pytest.raises(ValueError, match=r"Input should be 'bert', 'roberta', .* or 'renamed-bert'"):
        DeclaredShape(**{**declared, "model_type": "renamed-brt"})


@pytest.mark.parametrize("init", [Initialisation(), Initialisation(source="teacher", layers="last")])
def test_its_students_are_of_the_family(folder: Path, init: Initialisation) -> None:
    teacher = load_folder(folder)
    student = build_student(teacher, Student(name="s", layers=2, width=32, heads=4, ffn=48), init, seed=1)
    assert isinstance(student, RenamedForMaskedLM)
    assert (student.config.depth, len(family_of(student).layers(student))) == (2, 2)


def test_its_layers_are_tapped(folder: Path) -> None:
    model = load_folder(folder).model
    batch = make_batch()
    seen = Tapped(model, Needs(hidden=frozenset({0, 1, 3}), qkv=frozenset({2}), mlm=True), frozen=True)(batch)
    states = model.base_model(batch.input_ids, output_hidden_states=True).hidden_states
    for layer in (0, 1, 3):
        torch.testing.assert_close(seen.hidden[layer], states[layer])
    query = model.base_model.encoder.layer[1].attention.self.query(states[1])
    torch.testing.assert_close(seen.qkv[2].query, query)
    assert seen.mlm is not None
    logits = seen.mlm.transform(seen.hidden[3]) @ seen.mlm.weight.T + seen.mlm.bias
    torch.testing.assert_close(logits, model(batch.input_ids).logits)


def test_it_classifies_with_every_state_where_its_head_is_not_known_to_read_one(folder: Path) -> None:
    classifier = build_classifier(load_folder(folder), 3, dropout=0.0, seed=0)
    ids = make_batch().input_ids
    before = classifier(ids, torch.ones_like(ids))
    assert before.shape == (3, 3)
    compute_first_token_only(classifier.model)
    assert torch.equal(classifier(ids, torch.ones_like(ids)), before)
    last = family_of(classifier.model).layers(classifier.model)[-1]
    assert last(torch.zeros(1, 5, SIZE.width)).shape == (1, 5, SIZE.width)


def test_it_is_measured_from_its_declared_shape() -> None:
    declared = {name: getattr(SIZE, name) for name in DeclaredShape.model_fields}
    teacher = Teacher.model_validate(
        {"name": "t", "asset": {"sources": [{"path": "nowhere"}]}, "shape": declared}
    )
    protocol = Measure(batch_sizes=(1,), length=16, repeats=5, warmup=1)
    job = MeasureJob(teacher=teacher, protocol=protocol, fingerprint="f")
    measured = measure(job, Sources(cache_dir=Path("/nonexistent"), offline=True))
    counted = {one.metric: one.value for one in measured}
    assert counted["parameters_without_embeddings"] == 3 * (4 * 32 * 33 + 2 * 32 * 48 + 48 + 32 + 4 * 32)
    assert config_of_shape(SIZE).depth == SIZE.layers


@pytest.fixture
def bare_tokenizer(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with nothing but a tokenizer.json whose special tokens are those of one family."""
    pieces = list(FAMILIES[request.param].special_tokens.values()) if request.param in FAMILIES else []
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "a", "b"])}
    Tokenizer(models.WordLevel(vocabulary, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("bare_tokenizer", list(SHIPPED), indirect=True)
def test_a_bare_tokenizer_gets_the_roles_of_the_family_whose_special_tokens_it_has(
    bare_tokenizer: Path, request: pytest.FixtureRequest
) -> None:
    tokenizer = load_tokenizer(bare_tokenizer, 7)
    expected = FAMILIES[request.node.callspec.params["bare_tokenizer"]].special_tokens
    assert {role: getattr(tokenizer, role) for role in expected} == dict(expected)


@pytest.mark.parametrize("bare_tokenizer", ["none"], indirect=True)
def test_a_bare_tokenizer_of_no_family_is_refused(bare_tokenizer: Path) -> None:
    with pytest.raises(InputError, match="special tokens of none of bert, roberta"):
        load_tokenizer(bare_tokenizer, 7)


def test_families_are_known_without_torch() -> None:
    code = (
        "import sys, harness.families; "
        "print(*harness.families.FAMILIES, {'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*SHIPPED, "set()"]
