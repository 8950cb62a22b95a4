"""The size of a checkpoint, read from config.json and the header of its safetensors files. Imports no
torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.base import Frozen
from harness.errors import InputError

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""


@dataclass(frozen=True)
class FamilyKeys:
    """How one model_type spells its size in config.json and its masked-LM head in the weights."""

    layers: str
    width: str
    heads: str
    ffn: str
    head: tuple[frozenset[str], ...]
    """Tensors of a trained head besides the decoder matrix: one spelling of each must be there."""
    decoder: str
    """The decoder matrix; absent from the file where it is tied to the word embedding."""


_HUGGING = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
}
_BERT = FamilyKeys(
    **_HUGGING,
    head=(
        frozenset({"cls.predictions.transform.dense.weight"}),
        frozenset(
            {"cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.gamma"}
        ),
        frozenset({"cls.predictions.bias", "cls.predictions.decoder.bias"}),
    ),
    decoder="cls.predictions.decoder.weight",
)
_ROBERTA = FamilyKeys(
    **_HUGGING,
    head=(
        frozenset({"lm_head.dense.weight"}),
        frozenset({"lm_head.layer_norm.weight"}),
        frozenset({"lm_head.bias", "lm_head.decoder.bias"}),
    ),
    decoder="lm_head.decoder.weight",
)
_DISTILBERT = FamilyKeys(
    layers="n_layers",
    width="dim",
    heads="n_heads",
    ffn="hidden_dim",
    head=(
        frozenset({"vocab_transform.weight"}),
        frozenset({"vocab_layer_norm.weight"}),
        frozenset({"vocab_projector.bias"}),
    ),
    decoder="vocab_projector.weight",
)
FAMILIES: dict[str, FamilyKeys] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _DISTILBERT,
}
"""transformers' model_type -> its spelling."""


def read_shape(folder: Path) -> Shape:
    """The size of the checkpoint in `folder` (config.json and, where they are there, *.safetensors).

    `mlm_head` tells whether every tensor of a trained masked-LM head stands in the file. Raises InputError
    where the config is missing, unreadable or of a kind that cannot be tapped."""
    config = read_config(folder)
    return shape_of_config(config, folder, mlm_head=_has_mlm_head(config, tensor_names(folder)))


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: no config.json; a checkpoint in transformers' layout has one") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds a {type(config).__name__}, not a mapping")
    return config


def shape_of_config(config: Mapping[str, Any], where: Path | str, mlm_head: bool) -> Shape:
    """The size stated by a parsed config.json. `where` is named in errors."""
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise InputError(
            f"{where}: model_type {model_type!r} is not supported; supported are {', '.join(FAMILIES)}"
        )
    if config.get("is_decoder"):
        raise InputError(f"{where}: the model is a decoder (is_decoder: true); an encoder is needed")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise InputError(
            f"{where}: position_embedding_type {config['position_embedding_type']!r} is not supported; "
            "absolute is"
        )
    keys = FAMILIES[model_type]

    def size(key: str) -> int:
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{where}: config.json needs {key!r}, a whole number above 0; it has {value!r}")
        return value

    return Shape(
        layers=size(keys.layers),
        width=size(keys.width),
        heads=size(keys.heads),
        ffn=size(keys.ffn),
        vocabulary=size("vocab_size"),
        model_type=model_type,
        mlm_head=mlm_head,
    )


def declared_shape(declared: DeclaredShape) -> Shape:
    """A declared size as a Shape."""
    return Shape(**declared.model_dump())


def check_declared(declared: DeclaredShape, actual: Shape, name: str) -> None:
    """Raise InputError where a catalog entry's `shape:` differs from the files it names."""
    wrong = [
        f"{field} is {getattr(actual, field)}, declared {value}"
        for field, value in declared.model_dump().items()
        if getattr(actual, field) != value
    ]
    if wrong:
        raise InputError(f"{name}: the checkpoint is not what `shape:` declares: {'; '.join(wrong)}")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, one or the shards of its index; empty where there are none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{index}: not an index of safetensors shards ({error!r})") from None
        if any(Path(str(shard)).name != shard for shard in shards):
            raise InputError(f"{index}: names a shard outside its own folder")
        return [folder / shard for shard in shards]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else []


def tensor_names(folder: Path) -> frozenset[str]:
    """Names of all tensors in a checkpoint, from the headers alone."""
    return frozenset(
        name for path in weight_files(folder) for name in _header(path) if name != "__metadata__"
    )


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ValueError(f"its header claims {length} bytes")
            header = json.loads(file.read(length))
    except FileNotFoundError:
        raise InputError(f"{path}: missing, though the checkpoint's index names it") from None
    except (OSError, ValueError, struct.error) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: not a safetensors file (its header is no mapping)")
    return header


def _has_mlm_head(config: Mapping[str, Any], names: frozenset[str]) -> bool:
    keys = FAMILIES.get(str(config.get("model_type")))
    if keys is None:
        return False
    tied = config.get("tie_word_embeddings", True)
    return all(spellings & names for spellings in keys.head) and (tied or keys.decoder in names)


@dataclass(frozen=True)
class Shape:
    """The size of a Transformer encoder."""

    layers: int
    """L, number of Transformer layers (the embedding output is layer 0)."""
    width: int
    """d, width of the hidden states."""
    heads: int
    """A_h, attention heads per layer; divides width."""
    ffn: int
    """Inner width of the feed-forward block."""
    vocabulary: int
    """Rows of the word embedding."""
    model_type: str
    """transformers' model_type: bert, roberta, xlm-roberta, distilbert."""
    mlm_head: bool
    """Whether a trained masked-LM head comes with the weights."""


class DeclaredShape(Frozen):
    """A teacher's size as its file states it, so that specs validate before anything is fetched; checked on
    loading."""

    model_type: Literal["bert", "roberta", "xlm-roberta", "distilbert"]
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    ffn: int = Field(ge=8)
    vocabulary: int = Field(ge=2)
    mlm_head: bool = False
