"""The size of a checkpoint is read from its headers, without torch, and checked against what was declared."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.shapes import DeclaredShape, Shape, check_declared, read_shape

SIZE = {"layers": 4, "width": 32, "heads": 4, "ffn": 48, "vocabulary": 40}


@pytest.mark.parametrize("head", [True, False])
def test_size_and_head_are_read_from_the_files(
    checkpoint: Callable[..., Path], model_type: str, head: bool
) -> None:
    folder = checkpoint(model_type, head=head)
    windowed = {"layer_types": ("full", "sliding", "sliding", "full"), "window": 2}
    expected = Shape(
        **SIZE, **(windowed if model_type == "modernbert" else {}), model_type=model_type, mlm_head=head
    )
    assert read_shape(folder) == expected


def test_reading_a_shape_imports_no_torch(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("bert")
    code = (
        "import sys, pathlib; from harness.shapes import read_shape; import harness.flops; "
        f"print(read_shape(pathlib.Path({str(folder)!r})).layers, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]


def test_shards_count_as_one_checkpoint(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("roberta")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    assert not read_shape(folder).mlm_head
    index = {"weight_map": {"lm_head.dense.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_shape(folder).mlm_head
    index["weight_map"]["other"] = "../elsewhere.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="outside its own folder"):
        read_shape(folder)


def test_an_untied_decoder_must_stand_in_the_file(checkpoint: Callable[..., Path]) -> None:
    folder = checkpoint("bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert not read_shape(folder).mlm_head


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "gpt2"},
            "model_type 'gpt2' is not supported; supported are bert, roberta, xlm-roberta",
        ),
        ({"is_decoder": True}, "is a decoder"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
        ({"hidden_size": "wide"}, "needs 'hidden_size', a whole number above 0; it has 'wide'"),
        ({"num_hidden_layers": 0}, "needs 'num_hidden_layers'"),
    ],
)
def test_a_config_that_cannot_be_tapped_is_refused(checkpoint, change: dict, message: str) -> None:
    folder = checkpoint("bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=message):
        read_shape(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]"])
def test_a_broken_config_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        read_shape(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"JSON|mapping"):
        read_shape(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x" * 7, b"\xff" * 64, (5).to_bytes(8, "little") + b"[1,2]"])
def test_a_broken_weights_file_is_one_clear_error(checkpoint: Callable[..., Path], content: bytes) -> None:
    folder = checkpoint("distilbert")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not a safetensors file"):
        read_shape(folder)


def test_a_declared_shape_that_differs_is_refused_with_every_difference() -> None:
    actual = Shape(**SIZE, model_type="bert", mlm_head=True)
    check_declared(DeclaredShape(**SIZE, model_type="bert", mlm_head=True), actual, "t")
    wrong = DeclaredShape(**{**SIZE, "layers": 6}, model_type="bert", mlm_head=False)
    with pytest.raises(InputError, match=r"^t: .*layers is 4, declared 6; mlm_head is True, declared False$"):
        check_declared(wrong, actual, "t")
