"""The weight files of a checkpoint, and their headers.

If a folder has `model.safetensors.index.json`, the weights are the shards that it names; else they are
`model.safetensors`. Loading, hashing and header reading all follow this rule, whatever other files are there.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.intact.stand_ins import refuse_stand_in

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_UNREAD = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.onnx")
"""Weight formats that are not supported."""


def weights_name(folder: Path) -> str:
    """File name of the shard index if `folder` has one, else of the single weight file."""
    return INDEX if (folder / INDEX).is_file() else SINGLE


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, one or the shards of its index; empty if there are none."""
    first = folder / weights_name(folder)
    if first.name == SINGLE:
        return [first] if first.is_file() else []
    refuse_stand_in(first)
    try:
        shards = sorted(set(json.loads(first.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f"{first}: not an index of safetensors shards ({error!r})") from None
    if any(Path(str(shard)).name != shard for shard in shards):
        raise InputError(f"{first}: names a shard outside its own folder")
    return [folder / shard for shard in shards]


def tensor_names(folder: Path) -> frozenset[str]:
    """Names of all tensors in a checkpoint, from the headers alone. InputError if a file is truncated."""
    return frozenset(
        name for path in weight_files(folder) for name in _header(path) if name != "__metadata__"
    )


def require_weights(folder: Path) -> None:
    """InputError if `folder` holds no safetensors weights, or truncated ones."""
    if weight_files(folder):
        tensor_names(folder)
        return
    unread = sorted({path.name for pattern in _UNREAD for path in folder.glob(pattern) if path.is_file()})
    for name in unread:
        refuse_stand_in(folder / name)
    if not unread:
        raise InputError(f"{folder}: no {SINGLE}")
    raise InputError(
        f"{folder}: no {SINGLE}; pickled weights ({', '.join(unread)}) are not read, since they can run code. If "
        'you trust them, convert them: python -c "from transformers import AutoModelForMaskedLM as M; '
        "M.from_pretrained('FOLDER').save_pretrained('FOLDER')\""
    )


def _header(path: Path) -> dict[str, Any]:
    """The header of one file, which lists its tensors; checked against the file's length."""
    try:
        refuse_stand_in(path)
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ValueError(f"its header claims {length} bytes")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no mapping")
        ends = (tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
        wanted, there = 8 + length + max(ends, default=0), path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"{path}: missing, though the checkpoint's index names it") from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError, struct.error) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from None
    if there != wanted:
        raise InputError(
            f"{path}: cut short or damaged: its header describes {wanted:,} bytes, it has {there:,}"
        )
    return header
