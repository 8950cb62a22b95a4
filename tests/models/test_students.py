"""Students: any size, their teacher's family, weights that follow from the seed or the teacher alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.errors import InputError
from harness.families import family_of
from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder
from harness.models.students import build_student
from harness.spec.entries import Student
from harness.spec.initialisation import Initialisation

from .tiny import make_batch

RANDOM = Initialisation()


def shaped(layers: int = 2, width: int = 32, heads: int = 4, ffn: int | None = 48) -> Student:
    return Student(name="s", layers=layers, width=width, heads=heads, ffn=ffn)


def copying(layers: str | list[int]) -> Initialisation:
    return Initialisation.model_validate({"from": "teacher", "layers": layers})


@pytest.mark.parametrize(
    ("layers", "width", "heads", "ffn"), [(1, 8, 1, 16), (6, 24, 3, None), (2, 64, 16, 40)]
)
def test_a_student_has_any_size_and_its_teachers_family(
    teacher: LoadedModel, layers, width, heads, ffn
) -> None:
    model = build_student(teacher, shaped(layers, width, heads, ffn), RANDOM, seed=1)
    assert type(model) is type(teacher.model)
    assert model.config.vocab_size == teacher.shape.vocabulary
    assert model.config.max_position_embeddings == teacher.model.config.max_position_embeddings
    batch = make_batch()
    output = model.eval()(batch.input_ids, output_hidden_states=True)
    assert output.logits.shape == (3, 9, teacher.shape.vocabulary)
    assert [tuple(states.shape) for states in output.hidden_states] == [(3, 9, width)] * (layers + 1)


def test_random_weights_follow_from_the_seed_alone(teacher: LoadedModel) -> None:
    def weights(seed: int, disturb: int) -> torch.Tensor:
        torch.manual_seed(disturb)
        before = torch.get_rng_state()
        model = build_student(teacher, shaped(), RANDOM, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(3, disturb=0), weights(3, disturb=1))
    assert not torch.equal(weights(3, disturb=0), weights(4, disturb=0))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("first", [0, 1]), ("last", [2, 3]), ("alternate", [0, 2]), ("distilbert", [0, 3]), ([4, 2], [3, 1])],
)
def test_a_student_from_its_teacher_copies_layers_embeddings_and_head(teacher, layers, expected) -> None:
    model = build_student(teacher, shaped(), copying(layers), seed=1)
    family = family_of(model)
    source = family.layers(teacher.model)
    for place, number in enumerate(expected):
        wanted = dict(source[number].state_dict())
        if (teacher.shape.model_type, place) == (
            "modernbert",
            0,
        ) and number > 0:  # no norm below its attention
            wanted["attn.Wqkv.weight"] = wanted["attn.Wqkv.weight"] * wanted["attn_norm.weight"]
        for name, value in family.layers(model)[place].state_dict().items():
            assert torch.equal(value, wanted[name])
    rest = [name for name in model.state_dict() if ".layer." not in name and ".layers." not in name]
    assert rest
    for name in rest:
        assert torch.equal(model.state_dict()[name], teacher.model.state_dict()[name]), name


def test_a_whole_copy_computes_what_the_teacher_computes_and_shares_no_memory(teacher: LoadedModel) -> None:
    model = build_student(teacher, shaped(layers=4), copying("first"), seed=1).eval()
    ids = make_batch().input_ids
    expected = teacher.model(ids).logits
    assert torch.equal(model(ids).logits, expected)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(teacher.model(ids).logits, expected)


def test_a_copy_into_a_larger_width_or_depth_is_refused_with_the_reason(teacher: LoadedModel) -> None:
    with pytest.raises(InputError, match=r"width \(64\) to be at most the teacher's \(32\)"):
        build_student(teacher, shaped(width=64), copying("last"), seed=1)
    with pytest.raises(InputError, match="4 layers to copy, the student needs 5"):
        build_student(teacher, shaped(layers=5), copying("last"), seed=1)
    with pytest.raises(InputError, match="names 3 teacher layers for a student of 2; 2 would work"):
        build_student(teacher, shaped(), copying([1, 2, 3]), seed=1)
    with pytest.raises(InputError, match="names 5, 9, the teacher has 4; 1 to 4 would work"):
        build_student(teacher, shaped(layers=3), copying([5, 1, 9]), seed=1)


def test_dropout_is_what_was_asked_for(teacher: LoadedModel) -> None:
    ids = make_batch().input_ids
    still = build_student(teacher, shaped(), RANDOM, seed=1, dropout=0.0)
    assert still.training
    assert torch.equal(still(ids).logits, still(ids).logits)
    noisy = build_student(teacher, shaped(), RANDOM, seed=1, dropout=0.2)
    assert not torch.equal(noisy(ids).logits, noisy(ids).logits)
    assert {m.p for m in noisy.modules() if isinstance(m, torch.nn.Dropout)} == {0.2}


def test_the_decoder_stays_tied_to_the_word_embedding(teacher: LoadedModel) -> None:
    for init in (RANDOM, copying("last")):
        model = build_student(teacher, shaped(), init, seed=1)
        assert family_of(model).head(model).weight is model.get_input_embeddings().weight


def starting_from(folder: Path) -> Initialisation:
    asset = {"sources": [{"path": str(folder)}], "include": ["*.json", "*.safetensors"]}
    return Initialisation.model_validate({"from": "checkpoint", "checkpoint": asset})


def test_a_student_starts_from_a_checkpoint_of_its_shape(teacher, checkpoint) -> None:
    folder = checkpoint(teacher.shape.model_type, name="start", layers=2)
    model = build_student(teacher, shaped(), starting_from(folder), seed=1, dropout=0.1, checkpoint=folder)
    assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}
    for name, value in load_folder(folder).model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    with pytest.raises(InputError, match="the initial checkpoint has layers 2; the student needs 3"):
        build_student(teacher, shaped(layers=3), starting_from(folder), seed=1, checkpoint=folder)


def test_a_checkpoint_with_another_tokenizer_is_refused(teacher, checkpoint) -> None:
    folder = checkpoint(teacher.shape.model_type, name="start", layers=2)
    other = (folder / "tokenizer.json").read_text().replace('"a"', '"ä"')
    (folder / "tokenizer.json").write_text(other)
    with pytest.raises(InputError, match="a different tokenizer; it must be the teacher"):
        build_student(teacher, shaped(), starting_from(folder), seed=1, checkpoint=folder)
