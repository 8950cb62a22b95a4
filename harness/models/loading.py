"""Load encoders from folders: always as `...ForMaskedLM`, in float32, from safetensors, running no
code of the checkpoint.

Nothing here fetches a file: folders are on this machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from harness.errors import InputError
from harness.families import family_of
from harness.files import sha256_of
from harness.intact.weights import require_weights, tensor_names, weight_files, weights_name
from harness.models.configs import with_dropout
from harness.models.loaded import LoadedModel, load_tokenizer, quiet_transformers
from harness.models.random_encoder import HEAD_SEED, seeded
from harness.shapes import read_shape

_MALFORMED = (
    SafetensorError, StrictDataclassError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError,
)  # fmt: skip
"""What transformers raises over a damaged checkpoint; running out of memory and missing files are not among it."""


def load_folder(folder: Path, tokenizer: Path | None = None, dropout: float | None = None) -> LoadedModel:
    """Load the checkpoint in `folder`; `tokenizer` names its folder where that is another,
    `dropout` replaces the config's.

    Raises InputError where the folder holds no supported encoder in safetensors, or lacks encoder weights."""
    shape = read_shape(folder)
    require_weights(folder)
    model, report = _read_model(folder, dropout)
    _refuse_gaps(model, report, folder)
    _copy_weights(model)
    return LoadedModel(
        model=model.eval(),
        tokenizer=load_tokenizer(tokenizer or folder, shape.vocabulary),
        shape=shape,
        sha256=sha256_of(*weight_files(folder)),
        missing_keys=tuple(sorted(report["missing_keys"])),
        pooler=_read_pooler(folder, model),
    )


def _read_model(folder: Path, dropout: float | None) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model and transformers' report of what the files lacked."""
    try:
        with quiet_transformers(), seeded(HEAD_SEED):
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            config.transformers_weights = weights_name(
                folder
            )  # else transformers would choose by its own rule
            model, report = AutoModelForMaskedLM.from_pretrained(
                folder,
                config=config if dropout is None else with_dropout(config, dropout),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                attn_implementation=family_of(config).kernel,
                output_loading_info=True,
            )
            del model.config.transformers_weights
    except _MALFORMED as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: no model that transformers can read ({reason})") from error
    return model, report


def _copy_weights(model: PreTrainedModel) -> None:
    """Copy the weights into memory of their own: as transformers leaves them they are a view of the file, and change
    with it."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _refuse_gaps(model: PreTrainedModel, report: dict[str, Any], folder: Path) -> None:
    """Raise InputError where more than the head is missing, or a tensor has another shape than the config says."""
    head = tuple(family_of(model).head_modules(model))
    gaps = sorted(key for key in report["missing_keys"] if not key.startswith(head))
    if gaps:
        raise InputError(f"{folder}: the checkpoint lacks {len(gaps)} encoder weights, {gaps[0]} among them")
    misfits = report.get("mismatched_keys")
    if misfits:
        raise InputError(f"{folder}: a weight's shape differs from config.json: {sorted(misfits)[0]}")


def _read_pooler(folder: Path, model: PreTrainedModel) -> dict[str, Tensor]:
    if not family_of(model).has_pooler:
        return {}
    prefixes = ("pooler.", f"{model.base_model_prefix}.pooler.")
    names = [name for name in tensor_names(folder) if name.startswith(prefixes)]
    pooler: dict[str, Tensor] = {}
    for path in weight_files(folder) if names else []:
        with safe_open(path, framework="pt") as file:
            for name in set(file.keys()) & set(names):
                pooler[name.partition("pooler.")[2]] = file.get_tensor(name).float().clone()
    return pooler if set(pooler) == {"dense.weight", "dense.bias"} else {}
