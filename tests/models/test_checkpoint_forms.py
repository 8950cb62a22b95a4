"""Checkpoints as they come: in shards, in half precision, tied, with a padded vocabulary, among other files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from harness.errors import InputError
from harness.families import family_of
from harness.models.loading import load_folder
from harness.shapes import read_shape

from .tiny import make_batch, tiny_config, tiny_model, tiny_tokenizer

IDS = make_batch().input_ids


def test_shards_are_read_as_one_checkpoint(model_type: str, tmp_path: Path) -> None:
    model = tiny_model(model_type)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = load_folder(tmp_path)
    assert loaded.shape.mlm_head
    assert torch.equal(loaded.model(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32_of_the_same_values(
    model_type: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    model = tiny_model(model_type).to(dtype)
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_folder(tmp_path).model
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for name, value in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), value.float()), name


def test_a_tied_decoder_is_saved_once_and_read_tied(checkpoint: Callable[..., Path], model_type: str) -> None:
    folder = checkpoint(model_type)
    decoder = family_of(tiny_model(model_type)).head_tensors.decoder
    assert decoder not in load_file(folder / "model.safetensors")
    loaded = load_folder(folder)
    assert loaded.shape.mlm_head
    assert family_of(loaded.model).head(loaded.model).weight is loaded.model.get_input_embeddings().weight


def test_rows_that_no_piece_has_do_no_harm(model_type: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = tiny_config(model_type)
    config.vocab_size = 64  # the tokenizer has 31 pieces
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_folder(tmp_path)
    assert (loaded.shape.vocabulary, len(loaded.tokenizer)) == (64, 31)


def test_ids_that_a_tokenizer_leaves_out_are_read_as_they_are(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["z"] = 39
    path.write_text(json.dumps(content))
    loaded = load_folder(folder)
    assert loaded.tokenizer("z")["input_ids"][1] == 39
    content["model"]["vocab"]["z"] = 40
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="40"):
        load_folder(folder)


def test_a_sentence_encoder_is_read_whatever_lies_beside_its_weights(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type, head=False)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32}))
    loaded = load_folder(folder)
    assert not loaded.shape.mlm_head
    states = loaded.model.base_model(IDS).last_hidden_state
    assert torch.equal(states, tiny_model(model_type).base_model(IDS).last_hidden_state)


def test_pickled_weights_are_refused_with_the_line_that_converts_them(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pytorch_model.bin.* convert them: python -c .*save_pretrained"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("model_type", "changed", "message"),
    [
        (
            "electra",
            {"embedding_size": 16},
            r"embedding_size 16, hidden_size 32\) are not supported; base and large",
        ),
        ("modernbert", {"decoder_bias": False}, "no bias .* one with a bias is supported"),
    ],
)
def test_what_a_family_cannot_read_is_refused_by_name(
    checkpoint: Callable[..., Path], model_type: str, changed: dict[str, object], message: str
) -> None:
    folder = checkpoint(model_type)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(InputError, match=message):
        read_shape(folder)
