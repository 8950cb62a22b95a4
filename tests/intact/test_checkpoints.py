"""One rule says which files are a checkpoint's weights; what cannot be loaded is reported without loading it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.corpora.blocks import Vocabulary
from harness.errors import InputError
from harness.files import sha256_of
from harness.intact.pieces import highest_piece, require_rows_for
from harness.intact.weights import require_weights, tensor_names, weight_files
from harness.models.loaded import load_tokenizer
from harness.models.loading import load_folder
from harness.shapes import input_limit, read_shape
from tests.models.tiny import make_batch, tiny_config, tiny_model, tiny_tokenizer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT with its tokenizer."""
    tiny_model("bert").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def shard(folder: Path) -> None:
    """Two shards and their index instead of the one file."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    halves = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in halves.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize("named", [None, "stray.safetensors", "model.safetensors"])
def test_what_is_loaded_is_what_is_hashed_whatever_lies_beside_it(named: str | None, folder: Path) -> None:
    whole = load_folder(folder)
    shard(folder)
    save_file(
        {name: torch.zeros_like(value) for name, value in whole.model.state_dict().items()},
        folder / (named or "model.safetensors"),
        {"format": "pt"},
    )
    if named is not None:  # config.json may name another file to transformers
        config = json.loads((folder / "config.json").read_text()) | {"transformers_weights": named}
        (folder / "config.json").write_text(json.dumps(config))
    loaded = load_folder(folder)
    ids = make_batch().input_ids
    assert torch.equal(loaded.model(ids).logits, whole.model(ids).logits)
    assert loaded.sha256 == sha256_of(*weight_files(folder))
    assert [path.name for path in weight_files(folder)] == ["model-1.safetensors", "model-2.safetensors"]
    loaded.model.save_pretrained(folder / "again")
    assert "transformers_weights" not in (folder / "again" / "config.json").read_text()


@pytest.mark.parametrize("keep", [1, 7, 8, 100, 5_000, -1])
def test_weights_that_are_cut_short_are_told_by_their_header(keep: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    require_weights(folder)
    path.write_bytes(path.read_bytes()[:keep])
    for look in (require_weights, tensor_names, load_folder):
        with pytest.raises(InputError, match=r"model\.safetensors: (not a safetensors file|cut short)"):
            look(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pointer_in_the_place_of_any_file_is_told(name: str, folder: Path) -> None:
    (folder / name).write_text(POINTER)
    with pytest.raises(InputError, match=rf"{name}: a git-lfs pointer; `git lfs pull`"):
        _look(folder)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
)
def test_json_that_is_cut_off_is_told(name: str, share: float, folder: Path) -> None:
    content = (folder / name).read_bytes() if (folder / name).is_file() else b'{"mask_token": "<mask>"}'
    (folder / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=name):
        _look(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "[]", "7"])
def test_json_that_holds_something_else_is_told(name: str, content: str, folder: Path) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=name):
        _look(folder)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"hidden_size": 65}, "4 heads do not divide the width of 65"),
        ({"num_attention_heads": 0}, "needs 'num_attention_heads', a whole number above 0"),
        ({"num_hidden_layers": 99}, "config.json states 99 layers; the weights lack layer"),
    ],
)
def test_a_config_that_cannot_be_that_of_the_weights_is_told(
    fields: dict[str, int], said: str, folder: Path
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    with pytest.raises(InputError, match=re.escape(said)):
        _look(folder)


def test_a_piece_without_a_number_that_counts_is_told(folder: Path) -> None:
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["a"] = -1
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"tokenizer\.json: damaged: a piece has the id -1"):
        _look(folder)


def _look(folder: Path) -> None:
    """All that planning looks at."""
    require_weights(folder)
    read_shape(folder)
    input_limit(folder)
    highest_piece(folder)


def test_pickled_weights_alone_are_named_with_the_way_out(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pickled weights \(pytorch_model\.bin\) are not read.*convert"):
        require_weights(folder)


def with_holes(last: int) -> PreTrainedTokenizerFast:
    """Five pieces, the last of them with the id `last`."""
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4, "a": 5, "b": last}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    roles = ("cls_token", "pad_token", "sep_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, **dict(zip(roles, list(vocabulary), strict=False))
    )


@pytest.mark.parametrize("last", [6, 7, 30, 39])
def test_the_bound_of_a_tokenizer_is_its_highest_id(last: int, tmp_path: Path) -> None:
    with_holes(last).save_pretrained(tmp_path)
    assert highest_piece(tmp_path) == last
    for rows, fits in ((last, False), (last + 1, True), (last + 20, True)):
        for look in (lambda: load_tokenizer(tmp_path, rows), lambda: require_rows_for(last, rows, tmp_path)):  # noqa: B023
            if fits:
                look()
            else:
                with pytest.raises(
                    InputError, match=f"highest id is {last}, but the word embedding has {rows} rows"
                ):
                    look()
    vocabulary = Vocabulary.of(load_tokenizer(tmp_path, last + 1))
    assert vocabulary.size == last + 1
    assert set(range(vocabulary.size)) - set(vocabulary.special) == {
        5,
        last,
    }  # no id without a piece is drawn


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert"])
def test_the_longest_input_is_read_from_the_config(model_type: str, tmp_path: Path) -> None:
    tiny_config(model_type).save_pretrained(tmp_path)
    assert input_limit(tmp_path) == (64 if model_type == "roberta" else 66)


def test_a_folder_without_tokenizer_is_told(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="no tokenizer"):
        highest_piece(folder)
