"""Exported models load with plain transformers and compute what they computed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from harness.families import family_of
from harness.models.export import export_model, model_card
from harness.models.loaded import LoadedModel
from harness.models.loading import load_folder

from .tiny import make_batch

CARD = model_card("m", summary="A test.", recipe={"steps": 1}, provenance={"teacher": "t"}, mlm_head=True)


def test_a_model_with_its_head_loads_as_masked_lm_and_as_encoder(
    teacher: LoadedModel, tmp_path: Path
) -> None:
    batch = make_batch(lengths=(9, 5, 7))
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask.long()}
    sha256 = export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=True, card=CARD)
    model, report = AutoModelForMaskedLM.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert torch.equal(model(**inputs).logits, teacher.model(**inputs).logits)
    encoder = AutoModel.from_pretrained(tmp_path / "model")
    expected = teacher.model.base_model(**inputs).last_hidden_state
    assert torch.equal(encoder(**inputs).last_hidden_state, expected)
    assert sha256 == hashlib.sha256((tmp_path / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert load_folder(tmp_path / "model").shape == teacher.shape


def test_an_untrained_head_is_not_exported(teacher: LoadedModel, tmp_path: Path) -> None:
    export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=False, card=CARD)
    ids = make_batch().input_ids
    encoder = AutoModel.from_pretrained(tmp_path / "model")
    assert type(encoder).__name__ == encoder.config.architectures[0]
    assert torch.equal(encoder(ids).last_hidden_state, teacher.model.base_model(ids).last_hidden_state)
    again = load_folder(tmp_path / "model")
    assert not again.shape.mlm_head
    assert again.missing_keys
    assert torch.equal(again.model.base_model(ids).last_hidden_state, encoder(ids).last_hidden_state)


def test_the_tokenizer_travels_with_the_model(teacher: LoadedModel, tmp_path: Path) -> None:
    export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=True, card=CARD)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    text = "a b c", "d e"
    assert tokenizer(*text)["input_ids"] == teacher.tokenizer(*text)["input_ids"] == [0, 5, 6, 7, 2, 8, 9, 2]
    assert tokenizer.mask_token_id == teacher.tokenizer.mask_token_id


def test_exporting_again_replaces_the_folder_and_gives_the_same_bytes(
    teacher: LoadedModel, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "stale.txt").write_text("old")
    shas = {
        export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=True, card=CARD)
        for _ in range(2)
    }
    assert len(shas) == 1
    assert not (tmp_path / "model" / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_failed_export_leaves_the_old_folder_alone(teacher: LoadedModel, tmp_path: Path) -> None:
    export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=True, card="old")
    with pytest.raises(TypeError):
        export_model(teacher.model, teacher.tokenizer, tmp_path / "model", mlm_head=True, card=None)  # type: ignore[arg-type]
    assert (tmp_path / "model" / "README.md").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_card_names_recipe_provenance_and_what_is_untrained() -> None:
    card = model_card(
        "minilmv2 3L-192",
        summary="A student.",
        recipe={"method": "minilmv2", "steps": 1000},
        provenance={"teacher": "all-MiniLM | L6"},
        untrained=["layer 3: attention output, feed-forward"],
        mlm_head=False,
        languages=["en", "no"],
        licence="Apache-2.0",
    )
    for line in (
        "- layer 3: attention output, feed-forward",
        "| steps | 1000 |",
        "| teacher | all-MiniLM \\| L6 |",
        "license: apache-2.0",
        "- 'no'",
        "model = AutoModel.from_pretrained",
    ):
        assert line in card
    assert "2310.08797" in card
    assert "No masked-LM head" in card


@pytest.mark.parametrize("mlm_head", [True, False])
def test_a_shipped_pooler_travels_with_its_encoder(
    teacher: LoadedModel, tmp_path: Path, mlm_head: bool
) -> None:
    if not family_of(teacher.model).has_pooler:
        pytest.skip("the family has no pooler")
    pooler = {"dense.weight": torch.randn(32, 32), "dense.bias": torch.randn(32)}
    folder = tmp_path / "model"
    export_model(teacher.model, teacher.tokenizer, folder, mlm_head=mlm_head, card=CARD, pooler=pooler)
    encoder = AutoModel.from_pretrained(folder)
    assert torch.equal(encoder.pooler.dense.weight, pooler["dense.weight"])
    again = load_folder(folder)
    assert torch.equal(again.pooler["dense.bias"], pooler["dense.bias"])
    assert again.shape.mlm_head == mlm_head
