"""Load encoders from folders: always as `...ForMaskedLM`, in float32, from safetensors, running no code of
the checkpoint.

Nothing here asks the network: `harness.assets.fetch` brings the files, transformers reads them from disk only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    PreTrainedModel,
)

from harness.assets.sources import Sources
from harness.errors import InputError
from harness.models.build import HEAD_SEED, seeded
from harness.models.families import family_of, with_dropout
from harness.models.loaded import Loaded, load_tokenizer, quiet_transformers
from harness.shapes import check_declared, read_shape, tensor_names, weight_files
from harness.spec.entries import Teacher

_MALFORMED = (
    SafetensorError, StrictDataclassError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
"""What transformers raises over a damaged checkpoint; want of memory and of files is not among it."""


def load_teacher(teacher: Teacher, sources: Sources) -> Loaded:
    """Fetch and load a catalog entry.

    `trim_vocabulary` is not applied: it needs the corpus (`harness.models.vocabulary.trim_vocabulary`).
    Raises AssetError where the files cannot be had, InputError where they are not what the entry declares."""
    from harness.assets.fetch import fetch

    files = fetch(teacher.asset, sources)
    folder = files.path
    tokenizer = fetch(teacher.tokenizer, sources).path if teacher.tokenizer else None
    if teacher.format == "e5-q4":
        from harness.models.e5_q4 import load_e5_q4

        packed = files.matching("*.bin")
        if len(packed) != 1:
            raise InputError(
                f"{teacher.name}: the format e5-q4 is one *.bin file; the asset has {len(packed)}"
            )
        loaded = load_e5_q4(packed[0], tokenizer or folder)
    else:
        loaded = load_folder(folder, tokenizer)
    if teacher.shape is not None:
        check_declared(teacher.shape, loaded.shape, teacher.name)
    return loaded


def load_folder(folder: Path, tokenizer: Path | None = None, dropout: float | None = None) -> Loaded:
    """Load the checkpoint in `folder`; `tokenizer` names its folder where that is another, `dropout` replaces
    the config's own.

    Raises InputError where the folder holds no supported encoder in safetensors, or lacks encoder weights."""
    shape = read_shape(folder)
    files = weight_files(folder)
    if not files:
        raise InputError(f"{folder}: no model.safetensors; pickled weights (*.bin, *.pt) are not read")
    model, report = _read_model(folder, dropout)
    _refuse_gaps(model, report, folder)
    return Loaded(
        model=model.eval(),
        tokenizer=load_tokenizer(tokenizer or folder, shape.vocabulary),
        shape=shape,
        sha256=sha256_of(files),
        missing_keys=tuple(sorted(report["missing_keys"])),
        pooler=_read_pooler(folder, model),
    )


def _read_model(folder: Path, dropout: float | None) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model and transformers' report of what the files lacked."""
    try:
        with quiet_transformers(), seeded(HEAD_SEED):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, report = AutoModelForMaskedLM.from_pretrained(
                folder,
                config=config if dropout is None else with_dropout(config, dropout),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
    except _MALFORMED as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: no model that transformers can read ({reason})") from error
    return model, report


def sha256_of(files: list[Path]) -> str:
    """SHA-256 over the bytes of the files in order, hex."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _refuse_gaps(model: PreTrainedModel, report: dict[str, object], folder: Path) -> None:
    """Only the head may be missing, and nothing may have another shape than the config says."""
    head = tuple(family_of(model).head_modules(model))
    gaps = sorted(str(key) for key in report["missing_keys"] if not str(key).startswith(head))  # type: ignore[attr-defined]
    if gaps:
        raise InputError(f"{folder}: the checkpoint lacks {len(gaps)} encoder weights, {gaps[0]} among them")
    misfits = report.get("mismatched_keys")
    if misfits:
        raise InputError(f"{folder}: weights of another shape than config.json says: {sorted(misfits)[0]}")  # type: ignore[call-overload]


def _read_pooler(folder: Path, model: PreTrainedModel) -> dict[str, Tensor]:
    if model.config.model_type == "distilbert":
        return {}
    prefixes = ("pooler.", f"{model.base_model_prefix}.pooler.")
    names = [name for name in tensor_names(folder) if name.startswith(prefixes)]
    pooler: dict[str, Tensor] = {}
    for path in weight_files(folder) if names else []:
        with safe_open(path, framework="pt") as file:
            for name in set(file.keys()) & set(names):
                pooler[name.partition("pooler.")[2]] = file.get_tensor(name).float()
    return pooler if set(pooler) == {"dense.weight", "dense.bias"} else {}
