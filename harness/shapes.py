"""The size of a checkpoint, as declared or as read from config.json and the headers of its safetensors files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from harness.base import Frozen
from harness.errors import InputError
from harness.families import FAMILIES, AttentionType
from harness.intact.stand_ins import refuse_stand_in
from harness.intact.weights import tensor_names


def _known(model_type: str) -> str:
    """Refuse an unknown name with the error that pydantic raises for a value outside a `Literal`."""
    if model_type not in FAMILIES:
        *names, last = (repr(name) for name in FAMILIES)
        expected = f"{', '.join(names)} or {last}"
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return model_type


def _list_known(schema: dict[str, Any]) -> None:
    schema["enum"] = list(FAMILIES)


ModelType = Annotated[str, AfterValidator(_known), Field(json_schema_extra=_list_known)]
"""A name of `FAMILIES`."""


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
    """transformers' name of the family, a name of `harness.families.FAMILIES`."""
    mlm_head: bool
    """Whether a trained masked-LM head comes with the weights."""
    layer_types: tuple[AttentionType, ...] = ()
    """Attention of each layer, first to last; empty where every layer attends to all positions."""
    window: int | None = None
    """Positions to either side that a sliding layer sees; None where no layer slides."""

    def window_of(self, layer: int) -> int | None:
        """Of layer `layer` (1-based); None where it attends to all positions."""
        sliding = bool(self.layer_types) and self.layer_types[layer - 1] == "sliding"
        return self.window if sliding else None

    def layers_of(self, kind: AttentionType) -> tuple[int, ...]:
        """The layers (1-based) of this type, ascending."""
        types = self.layer_types or ("full",) * self.layers
        return tuple(layer for layer, one in enumerate(types, start=1) if one == kind)

    def types_at(self, layers: int) -> tuple[AttentionType, ...]:
        """Of a student of this many layers: those of its teacher's last ones, and the last of all is full. A student
        as deep as the teacher has its types."""
        if layers == self.layers or not self.layer_types:
            return self.layer_types
        repeated = self.layer_types * (layers // self.layers + 1)
        return (*repeated[len(repeated) - layers : -1], "full")


class DeclaredShape(Frozen):
    """A teacher's size as its file states it, so that specs validate before anything is fetched; checked on loading."""

    model_type: ModelType
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    ffn: int = Field(ge=8)
    vocabulary: int = Field(ge=2)
    mlm_head: bool = False


_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
"""The number of a layer in the name of a tensor."""


def read_shape(folder: Path) -> Shape:
    """The size of the checkpoint in `folder` (config.json and, where present, *.safetensors).

    `mlm_head`: whether the files hold every tensor of a trained masked-LM head. Raises InputError where the config is
    missing, unreadable, of an unsupported model type, or states layers that the weights lack."""
    config, names = read_config(folder), tensor_names(folder)
    shape = shape_of_config(config, folder, mlm_head=_has_mlm_head(config, names))
    there = {int(found[1]) for name in names if (found := _LAYER.search(name))}
    lacking = sorted(set(range(shape.layers)) - there) if there else []
    if lacking:
        raise InputError(
            f"{folder}: config.json states {shape.layers} layers; the weights lack layer {lacking[0]}, counted from 0"
        )
    return shape


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a checkpoint. InputError where it is missing or is not a JSON mapping."""
    path = folder / "config.json"
    try:
        refuse_stand_in(path)
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: no config.json; a checkpoint in transformers' layout has one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"{path}: holds a {type(config).__name__}, not a mapping")
    return config


def shape_of_config(config: Mapping[str, Any], where: Path | str, mlm_head: bool) -> Shape:
    """The size stated by a parsed config.json. `where` is named in errors."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"{where}: model_type {model_type!r} is not supported; supported are {', '.join(FAMILIES)}"
        )
    family = FAMILIES[model_type]
    refusal = family.refusal(config)
    if refusal is not None:
        raise InputError(f"{where}: {refusal}")

    def size(key: str) -> int:
        value = config.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{where}: config.json needs {key!r}, a whole number above 0; it has {value!r}")
        return value

    keys = family.sizes
    if size(keys.width) % size(keys.heads):
        raise InputError(f"{where}: {size(keys.heads)} heads do not divide the width of {size(keys.width)}")
    if "max_position_embeddings" in config:
        size("max_position_embeddings")
    return Shape(
        layers=size(keys.layers),
        width=size(keys.width),
        heads=size(keys.heads),
        ffn=size(keys.ffn),
        vocabulary=size(keys.vocabulary),
        model_type=model_type,
        mlm_head=mlm_head,
        layer_types=family.layer_types(config),
        window=family.window(config),
    )


def declared_shape(declared: DeclaredShape) -> Shape:
    """What is not declared is as usual in the family."""
    family = FAMILIES[declared.model_type]
    config = {family.sizes.layers: declared.layers}
    return Shape(
        **declared.model_dump(), layer_types=family.layer_types(config), window=family.window(config)
    )


def check_declared(declared: DeclaredShape, actual: Shape, name: str) -> None:
    """Raise InputError where a catalog entry's `shape:` differs from the files it names."""
    wrong = [
        f"{field} is {getattr(actual, field)}, declared {value}"
        for field, value in asdict(declared_shape(declared)).items()
        if getattr(actual, field) != value
    ]
    if wrong:
        raise InputError(f"{name}: the checkpoint is not what `shape:` declares: {'; '.join(wrong)}")


def input_limit(folder: Path) -> int | None:
    """Tokens that the checkpoint in `folder` has positions for; None where its config.json does not say, or says
    what cannot be."""
    config = read_config(folder)
    model_type = str(config.get("model_type"))
    positions = config.get("max_position_embeddings")
    if model_type not in FAMILIES or type(positions) is not int or positions < 1:
        return None
    return FAMILIES[model_type].longest_input(SimpleNamespace(**{"pad_token_id": 1, **config}))


def _has_mlm_head(config: Mapping[str, Any], names: frozenset[str]) -> bool:
    model_type = str(config.get("model_type"))
    if model_type not in FAMILIES:
        return False
    head = FAMILIES[model_type].head_tensors
    tied = config.get("tie_word_embeddings", True)
    return all(spellings & names for spellings in head.required) and (tied or head.decoder in names)
