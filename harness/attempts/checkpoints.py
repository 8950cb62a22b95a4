"""Checkpoints of a trial under way: all that is needed to go on bit for bit, and nothing that could run code.

    checkpoint/00001200/tensors.safetensors   weights, optimiser, generator states
                        facts.json            everything that is not a tensor
                        manifest.json         SHA-256 of the two files, written last

A checkpoint is written into a temporary folder, flushed and renamed; the last two are kept. One that does not match
its manifest (truncated, corrupted, half copied) is removed, and the one before is used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.files import sha256_of

KEPT = 2
"""How many checkpoints of a trial are kept."""

_TENSORS, _FACTS, _MANIFEST = "tensors.safetensors", "facts.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step."""

    step: int
    """Optimiser steps done."""
    tensors: dict[str, Tensor]
    """On the CPU, by name."""
    facts: dict[str, Any]
    """JSON values, by name."""
    damaged: tuple[int, ...] = ()
    """Steps of later checkpoints that could not be read."""

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Tensors named `prefix/...`, without the prefix."""
        start = f"{prefix}/"
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}


class Checkpoints:
    """The checkpoints below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint of `step` atomically and drop all but the last two; OSError where the disk refuses."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own, aliases = _without_aliases(tensors)
        temporary = Path(tempfile.mkdtemp(dir=self.folder, prefix=".writing-"))
        try:
            _save_tensors(own, temporary / _TENSORS)
            (temporary / _FACTS).write_text(
                json.dumps({"step": step, "aliases": aliases, "facts": dict(facts)}), encoding="utf-8"
            )
            hashes = {name: sha256_of(temporary / name) for name in (_TENSORS, _FACTS)}
            (temporary / _MANIFEST).write_text(json.dumps(hashes), encoding="utf-8")
            for name in (_TENSORS, _FACTS, _MANIFEST):
                _flush(temporary / name)
            target = self.folder / f"{step:08d}"
            if target.exists():  # left by an attempt that was resumed from further back
                shutil.rmtree(target)
            os.rename(temporary, target)
            _flush(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in self._saved()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self, is_sound: Callable[[Mapping[str, Any]], bool] | None = None) -> Checkpoint | None:
        """The newest checkpoint that matches its manifest and whose facts are sound, None where there is none;
        damaged ones are removed."""
        damaged: list[int] = []
        for folder in self._saved():
            checkpoint = _read(folder)
            if checkpoint is not None and (is_sound is None or is_sound(checkpoint.facts)):
                return Checkpoint(checkpoint.step, checkpoint.tensors, checkpoint.facts, tuple(damaged))
            damaged.append(int(folder.name))
            shutil.rmtree(folder, ignore_errors=True)  # or it would pass for the newest again
        return None

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints on disk, newest first, readable or not."""
        return [int(folder.name) for folder in self._saved()]

    def clear(self) -> None:
        """Remove every checkpoint: the trial has ended well."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _saved(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if path.name.isdigit()), reverse=True)


def _read(folder: Path) -> Checkpoint | None:
    try:
        hashes = json.loads((folder / _MANIFEST).read_bytes())
        if any(hashes[name] != sha256_of(folder / name) for name in (_TENSORS, _FACTS)):
            return None
        content = json.loads((folder / _FACTS).read_bytes())
        tensors = load_file(folder / _TENSORS)
        tensors.update({name: tensors[first] for name, first in content["aliases"].items()})
        step = int(folder.name)
        return Checkpoint(step, tensors, content["facts"]) if content["step"] == step else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError):
        return None


def _without_aliases(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, contiguous on the CPU, and for tied weights the later name -> the first one."""
    first: dict[tuple[object, ...], str] = {}
    own: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        detached = tensor.detach()
        place = (detached.device, detached.data_ptr(), detached.dtype, detached.shape, detached.stride())
        if detached.numel() and place in first:
            aliases[name] = first[place]
        else:
            first[place] = name
            whole = detached.untyped_storage().nbytes() == detached.nbytes
            own[name] = (
                detached.cpu().contiguous() if whole else detached.cpu().clone()
            )  # a view is copied out
    return own, aliases


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # the library hides the system's error number in its message
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _flush(path: Path) -> None:
    """Force a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
